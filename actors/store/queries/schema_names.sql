select name from public.kcactors_migration
