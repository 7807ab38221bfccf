/*-------------------------------------------------------------------------
 *
 * delta_statistics.c
 *	  What the planner is told about the values in deltas.
 *
 * Core knows the number of a tuplestore's rows and nothing of its columns, and guesses 200
 * distinct values.  But a delta is some rows of its source, so the statistics of the
 * source are far better: how often values repeat, how many rows pass a filter, how many
 * partners a row has.  Only that an update brings two rows, equal in most columns, they do
 * not say: at most half of the values are taken to be distinct.  So core's Memoize nodes,
 * which it does not consider without an answer, look up the partners of both at once.
 *
 * Core asks a hook for the statistics of any column; that of a delta is known by the
 * delta's name and its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "maintain/delta_statistics.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"

/* Of a delta's rows, how many at most have a value of their own in a column. */
#define DISTINCT_PART 0.5

static ViewPlan *current;
static bool installed;
static get_relation_stats_hook_type previous;

/* Returns the source whose delta has a name, or NULL. */
static PlanSource *
source_of(const char *delta_name)
{
	ListCell *lc;

	foreach (lc, current->sources)
	{
		PlanSource *source = (PlanSource *) lfirst(lc);

		if (strcmp(source->delta_name, delta_name) == 0)
			return source;
	}
	return NULL;
}

/* Gives the statistics of a source's column, adapted to its delta. */
static void
take_statistics(VariableStatData *vardata, Oid relid, AttrNumber attnum)
{
	bool inherited = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE;
	HeapTuple tuple = SearchSysCacheCopy3(STATRELATTINH, ObjectIdGetDatum(relid),
										  Int16GetDatum(attnum), BoolGetDatum(inherited));
	Form_pg_statistic statistic;

	if (!HeapTupleIsValid(tuple))
		return;
	statistic = (Form_pg_statistic) GETSTRUCT(tuple);
	if (statistic->stadistinct < -DISTINCT_PART ||
		statistic->stadistinct > vardata->rel->tuples * DISTINCT_PART)
		statistic->stadistinct = -DISTINCT_PART;
	vardata->statsTuple = tuple;
	vardata->freefunc = heap_freetuple;
	vardata->acl_ok = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

/* The hook: answers for columns of deltas. */
static bool
give_statistics(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
				VariableStatData *vardata)
{
	if (current != NULL && rte->rtekind == RTE_NAMEDTUPLESTORE && attnum > 0)
	{
		PlanSource *source = source_of(rte->enrname);
		AttrNumber column = InvalidAttrNumber;

		if (source != NULL)
			column = get_attnum(source->relid,
								strVal(list_nth(rte->eref->colnames, attnum - 1)));
		if (column > 0)
		{
			take_statistics(vardata, source->relid, column);
			return true;
		}
	}
	return previous != NULL && previous(root, rte, attnum, vardata);
}

/* Sets or ends it, see delta_statistics.h. */
void
derive_delta_statistics_use(ViewPlan *plan)
{
	if (!installed)
	{
		previous = get_relation_stats_hook;
		get_relation_stats_hook = give_statistics;
		installed = true;
	}
	current = plan;
}
