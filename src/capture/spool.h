/*-------------------------------------------------------------------------
 *
 * spool.h
 *	  Records of a large transaction that is still in progress, see spool.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_SPOOL_H
#define DERIVE_CAPTURE_SPOOL_H

#include "capture/queue.h"
#include "change/request.h"
#include "nodes/pg_list.h"

typedef struct Spool Spool;

extern Spool *
derive_spool_find(TransactionId xid); /* of a top-level transaction, or NULL */
extern Spool *derive_spool_open(TransactionId xid, uint32 interest_version);
extern void derive_spool_close(Spool *spool);

/* Where records of the (sub)transaction go; full after each record. */
extern WireBuffer *derive_spool_buffer(Spool *spool, TransactionId xid);
extern void derive_spool_full(Spool *spool);

/* Forgets what a subtransaction, and what came after it, has put. */
extern void derive_spool_abort(Spool *spool, TransactionId xid);

/* The request that the transaction serves, as far as it is known; the caller writes it. */
extern RequestId *derive_spool_request(Spool *spool);

/* Relations whose rows earlier pieces have changed, and sources (oids) that these rows fed. */
extern void derive_spool_add_changed(Spool *spool, Oid relid, List *fed);
extern bool derive_spool_has_changed(Spool *spool, Oid relid);

/* Returns true if rows of another relation than source and members fed source. */
extern bool derive_spool_has_strays(Spool *spool, Oid source, List *members);

/*
 * What was below a source (oids) when an earlier piece of the transaction looked, and may be
 * so for it alone; false: none has.
 */
extern void derive_spool_set_members(Spool *spool, Oid source, List *members);
extern bool derive_spool_get_members(Spool *spool, Oid source, List **members);

/* Sources that are lost whatever is aborted; each once. */
extern void derive_spool_add_lost(Spool *spool, Oid source);
extern List *derive_spool_lost(Spool *spool);

extern bool derive_spool_is_empty(Spool *spool);
extern uint32 derive_spool_interest_version(Spool *spool);

/* Sends all records, between the transaction's BEGIN and COMMIT. */
extern void derive_spool_send(Spool *spool, DecoderQueue *queue);

#endif /* DERIVE_CAPTURE_SPOOL_H */
