/*-------------------------------------------------------------------------
 *
 * cut.h
 *	  A query into blocks, each of which is one stage, see cut.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_CUT_H
#define DERIVE_PLAN_CUT_H

#include "nodes/parsenodes.h"

/*
 * Makes a stage of a block, whose columns are named c1, c2, ..., and returns its
 * relation, locked.
 */
typedef Oid (*StageMaker)(Query *block, void *arg);

/*
 * Cuts an analysed query (which is changed) into blocks.  Calls make for all but the
 * last, from the bottom up, and returns the last.
 */
extern Query *derive_cut(Query *query, StageMaker make, void *arg);

#endif /* DERIVE_PLAN_CUT_H */
