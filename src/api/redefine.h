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

/* Returns the relations (oids) that a command is about to change under derived views. */
extern List *derive_redefine_find(Node *command);

/* Makes the derived views anew that read the relation, after the command. */
extern void derive_redefine_readers(Oid relid);

#endif /* DERIVE_API_REDEFINE_H */
