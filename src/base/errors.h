/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  SQLSTATEs of pg_derive's own.
 *
 * Everything else uses the codes of core.  Class "DV" is not used by core or
 * by the SQL standard (classes starting with I..Z are implementation-defined).
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_BASE_ERRORS_H
#define DERIVE_BASE_ERRORS_H

/* derive.wait: the timeout passed before the target was reached. */
#define ERRCODE_DERIVE_WAIT_TIMEOUT MAKE_SQLSTATE('5', '7', 'D', '0', '1')

/* derive.request: the id is known with other parameters. */
#define ERRCODE_DERIVE_REQUEST_DIFFERS MAKE_SQLSTATE('2', '2', 'D', '0', '1')

/* The stored rows of a view are not what its deltas say; it is recomputed. */
#define ERRCODE_DERIVE_VIEW_DIVERGED MAKE_SQLSTATE('X', 'X', 'D', '0', '1')

#endif /* DERIVE_BASE_ERRORS_H */
