-- The roles that `rerankd memory migrate` would make without passwords. Run by psql at every start, so that a password
-- which was changed in the environment holds from then on.
\set ON_ERROR_STOP on
\getenv app RERANKD_APP_PASSWORD
\getenv maintain RERANKD_MAINTAIN_PASSWORD

SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS', role)
FROM unnest(ARRAY['rerankd_app', 'rerankd_maintain']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
\gexec

ALTER ROLE rerankd_app PASSWORD :'app';
ALTER ROLE rerankd_maintain PASSWORD :'maintain';
