/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  derive.explain: how a query would be, or a view is, maintained.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "api/view_functions.h"
#include "base/compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "plan/plan.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(derive_explain_query);
PG_FUNCTION_INFO_V1(derive_explain_view);

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

/* derive.explain(query text) */
Datum
derive_explain_query(PG_FUNCTION_ARGS)
{
	Query *query;
	ViewPlan *plan = derive_api_plan_query(text_to_cstring(PG_GETARG_TEXT_PP(0)), &query);

	return return_lines(fcinfo, derive_plan_explain(plan));
}

/* derive.explain(view regclass) */
Datum
derive_explain_view(PG_FUNCTION_ARGS)
{
	CatalogView *view = derive_api_readable_view(PG_GETARG_OID(0));
	Relation rel = relation_open(view->definition, AccessShareLock);
	ViewPlan *plan = derive_plan_make(copyObject(get_view_query(rel)), NULL);

	plan->key = view->key;
	relation_close(rel, NoLock);
	return return_lines(fcinfo, derive_plan_explain(plan));
}
