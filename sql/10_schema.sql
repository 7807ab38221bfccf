/* Schemas: derive is the interface, derive_state what only pg_derive writes. */

CREATE SCHEMA derive;
CREATE SCHEMA derive_state;
REVOKE ALL ON SCHEMA derive, derive_state FROM PUBLIC;

COMMENT ON SCHEMA derive IS 'derived data: views kept equal to their queries from the write-ahead log';
COMMENT ON SCHEMA derive_state IS 'state of pg_derive; read and written by its workers only';

-- Maintenance queries run as the owner of a view and call functions of both schemas.
GRANT USAGE ON SCHEMA derive, derive_state TO PUBLIC;

