/*-------------------------------------------------------------------------
 *
 * redefine.h
 *	  Derived views whose queries mean something else now, see redefine.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_API_REDEFINE_H
#define DERIVE_API_REDEFINE_H

#include "nodes/pg_list.h"

/* A relation that a command changes under derived views. */
typedef struct ChangedRelation
{
	Oid relid;
	bool subqueries_only; /* concerns views only whose subqueries may have become joins */
} ChangedRelation;

/* Returns the relations (ChangedRelation *) that a command is about to change. */
extern List *derive_redefine_find(Node *command);

/* Makes the derived views anew that read the relation, after the command. */
extern void derive_redefine_readers(const ChangedRelation *change);

#endif /* DERIVE_API_REDEFINE_H */
