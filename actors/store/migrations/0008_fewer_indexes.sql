-- What a payment costs beside a million old ones are pages of indexes at random places. An event's name follows from its purchase,
-- and all events of a purchase stand on one page here, where the name alone took a page for each and the purchase another.
alter table event drop constraint event_pkey;
alter table event add constraint event_pkey primary key (purchase_id, event_id);
drop index event_purchase;
-- The name of an allocation follows from its purchase too, which is what we ask by.
alter table allocation drop constraint allocation_pkey;
alter table allocation drop constraint allocation_purchase_id_key;
alter table allocation add constraint allocation_pkey primary key (purchase_id);
-- Who has what is asked by way of the purchase, whose index by student and course a payment has written anyway.
drop index allocation_student;
