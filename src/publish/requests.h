/*-------------------------------------------------------------------------
 *
 * requests.h
 *	  Forgetting old requests, see requests.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PUBLISH_REQUESTS_H
#define DERIVE_PUBLISH_REQUESTS_H

/*
 * Outside a transaction: deletes some requests older than pg_derive.request_retention.
 * Returns true if there may be more.
 */
extern bool derive_requests_forget(void);

#endif /* DERIVE_PUBLISH_REQUESTS_H */
