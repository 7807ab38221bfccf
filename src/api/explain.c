/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  derive.explain: how a query would be, or a view is, maintained; derive.advise:
 *	  what would make that cheaper.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/view_functions.h"
#include "base/compat.h"
#include "base/owner.h"
#include "fmgr.h"
#include "funcapi.h"
#include "maintain/choice.h"
#include "plan/plan.h"
#include "plan/region.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(derive_explain_query);
PG_FUNCTION_INFO_V1(derive_explain_view);
PG_FUNCTION_INFO_V1(derive_advise);

/* Returns lines as a set of text. */
static Datum
return_lines(FunctionCallInfo fcinfo, List *lines)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell *lc;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	foreach (lc, lines)
	{
		Datum value = CStringGetTextDatum((char *) lfirst(lc));
		bool isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

/* Appends the lines of a stage, or (relid invalid) of the view's own block. */
List *
derive_api_explain_stage(List *lines, int number, Oid relid, ViewPlan *plan)
{
	char *name = OidIsValid(relid) ? derive_relation_name(relid) : NULL;

	return list_concat(lines, derive_plan_explain(plan, number, name));
}

/* derive.explain(query text) */
Datum
derive_explain_query(PG_FUNCTION_ARGS)
{
	return return_lines(fcinfo,
						derive_api_explain_query(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/*
 * Returns the plan of a view or stage that exists.  Planning may evaluate functions of the
 * query, so it happens as the owner, whoever asks.
 */
static ViewPlan *
plan_of(CatalogView *view)
{
	Query *query = derive_catalog_read_query(view->definition, AccessShareLock);
	OwnerScope scope;
	ViewPlan *plan;

	LockRelationOid(view->view, AccessShareLock);
	AcquireRewriteLocks(query, true, false);
	derive_owner_enter(&scope, derive_owner_of(view->view));
	plan = derive_plan_make(query, NULL);
	derive_plan_follow_keys(plan, view->source_key);
	derive_owner_leave(&scope);
	plan->key = view->key;
	plan->view = view->view;
	plan->state = view->state_table;
	return plan;
}

/* Appends the lines of a view's block or a stage's, with what its maintenance may cost. */
static List *
explain_existing(List *lines, int number, CatalogView *view, Oid relid)
{
	ViewPlan *plan = plan_of(view);
	OwnerScope scope;

	if (OidIsValid(view->state_table))
		LockRelationOid(view->state_table, AccessShareLock);
	derive_owner_enter(&scope, derive_owner_of(view->view));
	lines = derive_api_explain_stage(lines, number, relid, plan);
	derive_owner_leave(&scope);
	return list_concat(lines, derive_choice_explain(plan, derive_owner_of(view->view)));
}

/* derive.explain(view regclass) */
Datum
derive_explain_view(PG_FUNCTION_ARGS)
{
	CatalogView *view = derive_api_readable_view(PG_GETARG_OID(0));
	List *lines = NIL;
	int number = 1;
	ListCell *lc;

	foreach (lc, derive_catalog_find_stages(view->view))
	{
		CatalogView *stage = lfirst(lc);

		lines = explain_existing(lines, number++, stage, stage->view);
	}
	return return_lines(fcinfo, explain_existing(lines, number, view, InvalidOid));
}

/*
 * Appends the statements for the indexes that a view or stage misses, each once.  To look at
 * indexes may evaluate functions in their expressions, so that happens as the owner, too.
 */
static List *
add_missing_indexes(List *statements, CatalogView *view)
{
	ViewPlan *plan = plan_of(view);
	List *missing;
	OwnerScope scope;
	ListCell *lc, *ls;

	derive_owner_enter(&scope, derive_owner_of(view->view));
	missing = derive_plan_missing_indexes(plan);
	derive_owner_leave(&scope);
	foreach (lc, missing)
	{
		bool known = false;

		foreach (ls, statements)
			known |= strcmp(lfirst(ls), lfirst(lc)) == 0;
		if (!known)
			statements = lappend(statements, lfirst(lc));
	}
	return statements;
}

/* derive.advise(view regclass) */
Datum
derive_advise(PG_FUNCTION_ARGS)
{
	CatalogView *view = derive_api_readable_view(PG_GETARG_OID(0));
	List *statements = NIL;
	ListCell *lc;

	foreach (lc, derive_catalog_find_stages(view->view))
		statements = add_missing_indexes(statements, lfirst(lc));
	return return_lines(fcinfo, add_missing_indexes(statements, view));
}
