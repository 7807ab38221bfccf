/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  The functions that a view's definition calls.
 *
 * CREATE OR REPLACE FUNCTION may change what a query's result is, without any change of a
 * row.  The definition's dependencies name the functions, and those behind operators and
 * aggregates; the row of pg_proc, known by its place and its writer, is a function's version.
 * Built-in functions do not change and are not listed; neither are functions that only
 * another function calls.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/functions.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "rewrite/rewriteSupport.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

typedef struct FunctionVersion
{
	Oid oid;
	uint32 hash; /* in the system cache */
	TransactionId xmin;
	ItemPointerData tid;
} FunctionVersion;

/* Adds a function to a list, unless it is built in. */
static List *
add_function(List *functions, Oid oid)
{
	HeapTuple tuple;
	FunctionVersion *version;

	if (oid < FirstNormalObjectId)
		return functions;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));
	if (!HeapTupleIsValid(tuple))
		return functions;
	version = palloc(sizeof(FunctionVersion));
	version->oid = oid;
	version->hash = GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(oid));
	version->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	version->tid = tuple->t_self;
	ReleaseSysCache(tuple);
	return lappend(functions, version);
}

/* Adds a function, and those that it is made of if it is an aggregate. */
static List *
add_function_or_aggregate(List *functions, Oid oid)
{
	HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(oid));

	functions = add_function(functions, oid);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(tuple);

		functions = add_function(functions, form->aggtransfn);
		functions = add_function(functions, form->aggfinalfn);
		functions = add_function(functions, form->aggmtransfn);
		functions = add_function(functions, form->aggminvtransfn);
		functions = add_function(functions, form->aggmfinalfn);
		ReleaseSysCache(tuple);
	}
	return functions;
}

List *
derive_functions_of(Oid definition)
{
	Oid rule = get_rewrite_oid(definition, ViewSelectRuleName, false);
	Relation depend = table_open(DependRelationId, AccessShareLock);
	List *functions = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RewriteRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(rule));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		if (row->refclassid == ProcedureRelationId)
			functions = add_function_or_aggregate(functions, row->refobjid);
		else if (row->refclassid == OperatorRelationId)
			functions = add_function(functions, get_opcode(row->refobjid));
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return functions;
}

List *
derive_functions_copy(List *functions)
{
	List *copies = NIL;
	ListCell *lc;

	foreach (lc, functions)
	{
		FunctionVersion *copy = palloc(sizeof(FunctionVersion));

		*copy = *(FunctionVersion *) lfirst(lc);
		copies = lappend(copies, copy);
	}
	return copies;
}

bool
derive_functions_replaced(List *before, List *after)
{
	ListCell *lb, *la;

	foreach (lb, before)
		foreach (la, after)
		{
			FunctionVersion *old = lfirst(lb);
			FunctionVersion *new = lfirst(la);

			if (old->oid == new->oid &&
				(old->xmin != new->xmin || !ItemPointerEquals(&old->tid, &new->tid)))
				return true;
		}
	return false;
}

bool
derive_functions_contain(List *functions, uint32 hash)
{
	ListCell *lc;

	foreach (lc, functions)
		if (((FunctionVersion *) lfirst(lc))->hash == hash)
			return true;
	return false;
}
