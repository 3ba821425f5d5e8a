-- The two tables of an output of Delta tables as views, for DuckDB; the other queries of this folder read them. First:
--   SET VARIABLE output = 's3://bucket/hunts';
-- Each job has a table of hits of its own: jobs with the same columns can be put together by UNION ALL BY NAME.
CREATE OR REPLACE VIEW hits AS
SELECT * FROM delta_scan(getvariable('output') || '/delta/hits/signin-success-then-fail');

CREATE OR REPLACE VIEW runs AS
SELECT * FROM delta_scan(getvariable('output') || '/delta/runs');
