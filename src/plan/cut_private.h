/*-------------------------------------------------------------------------
 *
 * cut_private.h
 *	  What cut.c and cut_sublinks.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_CUT_PRIVATE_H
#define DERIVE_PLAN_CUT_PRIVATE_H

#include "plan/cut.h"

typedef struct Cut
{
	StageMaker make;
	void *arg;
} Cut;

extern Query *derive_cut_query(Cut *cut, Query *query);
extern void derive_cut_from(Cut *cut, Query *query);
extern void derive_cut_open(Cut *cut, Query *query);
extern Oid derive_cut_stage(Cut *cut, Query *query);
extern bool derive_cut_is_plain(Query *query);

/* cut_sublinks.c */
extern void derive_cut_sublinks(Cut *cut, Query *query);

#endif /* DERIVE_PLAN_CUT_PRIVATE_H */
