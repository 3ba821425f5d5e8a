-- The two tables of an output as views, for DuckDB; the other queries of this folder read them. First:
--   SET VARIABLE output = 's3://bucket/hunts';
CREATE OR REPLACE VIEW hits AS
SELECT * FROM read_parquet(getvariable('output') || '/hits/*/*/hits.parquet', union_by_name = true);

CREATE OR REPLACE VIEW runs AS
SELECT * FROM read_parquet(getvariable('output') || '/runs/*/*/run.parquet', union_by_name = true);
