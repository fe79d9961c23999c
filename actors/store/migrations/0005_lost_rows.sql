-- A purchase that somebody removes takes its plan with it: nobody outside knows this table, and no row of it is a claim.
alter table session_plan drop constraint if exists session_plan_purchase_id_fkey;
alter table session_plan add constraint session_plan_purchase_id_fkey
    foreign key (purchase_id) references purchase on delete cascade;
