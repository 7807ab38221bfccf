/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  Commands that would change a view behind pg_derive's back, see guard.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_API_GUARD_H
#define DERIVE_API_GUARD_H

#include "nodes/parsenodes.h"

extern void derive_guard_check(Node *command);

/*
 * Lets nobody give a table its first inheritance child that a query, or an ordinary view in
 * it, reads, until the end of the transaction: a view that is not committed is not seen by
 * who does.  Waits for who is doing so.
 */
extern void derive_guard_hold_children(Query *query);

/*
 * Says whether a command makes the trigger that keeps outboxes append-only: we do, and a
 * restore, when it has restored the rest of an outbox.
 */
extern bool derive_guard_is_own_trigger(Node *command);

#endif /* DERIVE_API_GUARD_H */
