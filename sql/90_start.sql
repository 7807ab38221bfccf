/* Start: the pipeline of this database starts when CREATE EXTENSION commits. */

SELECT derive_state.start_pipeline();
