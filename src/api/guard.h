/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  Commands that would change a view behind pg_derive's back, see guard.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_API_GUARD_H
#define DERIVE_API_GUARD_H

#include "nodes/nodes.h"

extern void derive_guard_check(Node *command);

/*
 * Says whether a command makes the trigger that keeps outboxes append-only: we do, and a
 * restore, when it has restored the rest of an outbox.
 */
extern bool derive_guard_is_own_trigger(Node *command);

#endif /* DERIVE_API_GUARD_H */
