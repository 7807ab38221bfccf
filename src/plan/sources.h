/*-------------------------------------------------------------------------
 *
 * sources.h
 *	  Which relations and columns a query reads, at any depth, see sources.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_SOURCES_H
#define DERIVE_PLAN_SOURCES_H

#include "plan/plan.h"

/*
 * Called for each column of a table (varattno 0: the whole row) that a Var stands for;
 * var is the Var that the user wrote.
 */
typedef void (*ColumnVisitor)(RangeTblEntry *rte, AttrNumber attno, Var *var, void *arg);

extern void
derive_sources_visit_var(List *queries, Var *var, ColumnVisitor visit, void *arg);
/* True of foreign tables and materialized views: their changes are not in the log. */
extern bool derive_sources_is_silent(Oid relid);
extern bool derive_sources_read_whole_rows(Query *query);
extern List *derive_sources_collect(Query *query);

/*
 * Returns the index of a relation in a list of sources, adding it if need be.  With and
 * without ONLY are two sources, as their changes differ; a derived view has no children.
 */
extern int derive_sources_intern(List **sources, RangeTblEntry *rte);

/* Returns the relations (oids) of a query, at any depth, whose changes are not in the log. */
extern List *derive_sources_silent(Query *query);

/*
 * True if a relation is read with inheritance children, or may have had some: its keys do
 * not identify the rows of all together.
 */
extern bool derive_sources_is_tree(RangeTblEntry *rte);

/*
 * Says whether an expression calls a function that is not built in, by an operator or a cast,
 * too.  Such a one may be replaced, and be strict, or have a result, no more; what was
 * concluded from that when a view was created would stay.
 */
extern bool derive_sources_calls_replaceable(Node *expression);

#endif /* DERIVE_PLAN_SOURCES_H */
