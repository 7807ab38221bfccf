/*-------------------------------------------------------------------------
 *
 * indexes.h
 *	  What indexes say about a region: keys of its rows, lookups, see indexes.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_INDEXES_H
#define DERIVE_PLAN_INDEXES_H

#include "plan/region.h"

extern List *derive_region_view_key(Region *region);

/*
 * These are in index_match.c; columns: a List of Vars and other expressions over the
 * relation's columns, with number 1, in any order.
 */

/* Returns an expression without changes of type that change no bits. */
extern Node *derive_index_strip(Node *node);

/* True if a relation has a valid index that starts with the given columns. */
extern bool derive_index_exists(Oid relid, List *columns);

/* Adds a CREATE INDEX statement to a list of them, if there is no such index or statement. */
extern List *derive_index_suggest(List *statements, Oid relid, List *columns);

#endif /* DERIVE_PLAN_INDEXES_H */
