/*-------------------------------------------------------------------------
 *
 * region.h
 *	  The linear region of a query: flat joins, conditions and columns, see region.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_REGION_H
#define DERIVE_PLAN_REGION_H

#include "nodes/parsenodes.h"
#include "plan/plan.h"

/* One appearance of a source in FROM. */
typedef struct Occurrence
{
	RangeTblEntry *rte;
	int source; /* index into the plan's sources */
} Occurrence;

/*
 * Expressions are over Vars whose varno is the occurrence's number, counted from 1,
 * and whose varattno is the source's own.
 */
typedef struct Region
{
	int noccurrences;
	Occurrence *occurrences;
	List *quals;	/* conditions, all of which must hold */
	List *columns;	/* TargetEntry list of what the region computes */
	int *varno_map; /* [query varno] = occurrence number, or 0 */
	int nvarnos;
} Region;

/* What an occurrence stands for in a query made of a region. */
typedef enum OccurrenceForm
{
	FORM_NEW,  /* the source itself, at the snapshot */
	FORM_OLD,  /* the source before its delta: a CTE, see derive_region_old_name */
	FORM_DELTA /* the source's delta: a named tuplestore */
} OccurrenceForm;

extern Region *derive_region_make(Query *query, List **sources);
extern Node *derive_region_adopt(Region *region, Node *expression);
extern void derive_region_note_columns(Region *region, List *sources);

extern Query *
derive_region_term(Region *region, List *sources, const OccurrenceForm *forms);
extern Query *derive_region_select(Region *region);
extern Query *derive_region_select_keys(Region *region, int nkeys, const FoldKey *keys,
										Bitmapset *nulls);
extern char *derive_region_old_name(PlanSource *source);
extern Query *derive_region_over_named(const char *name, List *column_names,
									   List *columns, Node *condition);

extern char *derive_query_deparse(Query *query, bool pretty);
extern char *derive_relation_name(Oid relid);

#endif /* DERIVE_PLAN_REGION_H */
