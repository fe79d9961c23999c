-- Which of these payments have a purchase by now.
select payment_id from purchase where provider = %(provider)s and payment_id = any (%(payments)s)
