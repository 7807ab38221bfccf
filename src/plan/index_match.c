/*-------------------------------------------------------------------------
 *
 * index_match.c
 *	  Whether a relation has an index that starts with some columns or expressions,
 *	  and the statement for one.
 *
 * Opens the relation without locking; the caller holds a lock on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "plan/indexes.h"

/*
 * Returns an expression without changes of type that change no bits.
 */
Node *
derive_index_strip(Node *node)
{
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

/*
 * Returns the expressions of an index as they were written: what the relation cache
 * has of them has been simplified, which expressions of a query have not yet been here.
 */
static List *
index_expressions(Relation index)
{
	HeapTuple tuple = SearchSysCache1(INDEXRELID,
									  ObjectIdGetDatum(RelationGetRelid(index)));
	List *expressions = NIL;
	bool isnull;
	Datum raw;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", RelationGetRelid(index));
	raw = SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indexprs, &isnull);
	if (!isnull)
		expressions = (List *) stringToNode(TextDatumGetCString(raw));
	ReleaseSysCache(tuple);
	return expressions;
}

/*
 * True if one of the first n columns of an index is the given column or expression.
 */
static bool
index_leads_with(Relation index, List *expressions, int n, Node *wanted)
{
	int nexpressions = 0;

	for (int i = 0; i < n; i++)
	{
		AttrNumber attno = index->rd_index->indkey.values[i];

		if (attno != InvalidAttrNumber
				? IsA(wanted, Var) && ((Var *) wanted)->varattno == attno
				: equal(wanted,
						derive_index_strip(list_nth(expressions, nexpressions++))))
			return true;
	}
	return false;
}

/*
 * True if the first columns of an index are the given ones (List of Node, see
 * EqualitySide), in any order.
 */
static bool
index_starts_with(Relation index, List *columns)
{
	bool ordered = index->rd_indam->amcanorder;
	int n = list_length(columns);
	List *expressions;
	ListCell *lc;

	if (!index->rd_index->indisvalid || RelationGetIndexPredicate(index) != NIL ||
		n > IndexRelationGetNumberOfKeyAttributes(index) ||
		(!ordered && (index->rd_rel->relam != HASH_AM_OID || n > 1)))
		return false;
	expressions = index_expressions(index);
	foreach (lc, columns)
	{
		if (!index_leads_with(index, expressions, n, lfirst(lc)))
			return false;
	}
	return true;
}

/*
 * True if a relation has a valid index that starts with the given columns.
 */
bool
derive_index_exists(Oid relid, List *columns)
{
	Relation relation = table_open(relid, NoLock);
	bool found = false;
	ListCell *lc;

	foreach (lc, RelationGetIndexList(relation))
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= index_starts_with(index, columns);
		index_close(index, AccessShareLock);
	}
	table_close(relation, NoLock);
	return found;
}

/*
 * Adds a CREATE INDEX statement to a list of them, if the relation has no such index
 * and the list not the same statement.
 */
List *
derive_index_suggest(List *statements, Oid relid, List *columns)
{
	StringInfoData statement;
	const char *separator = "";
	ListCell *lc;

	if (columns == NIL || derive_index_exists(relid, columns))
		return statements;

	initStringInfo(&statement);
	appendStringInfo(&statement, "CREATE INDEX ON %s (", derive_relation_name(relid));
	foreach (lc, columns)
	{
		char *text = derive_query_deparse_expression(lfirst(lc), relid);

		appendStringInfo(&statement, IsA(lfirst(lc), Var) ? "%s%s" : "%s(%s)", separator,
						 text);
		separator = ", ";
	}
	appendStringInfoString(&statement, ")");

	foreach (lc, statements)
	{
		if (strcmp(lfirst(lc), statement.data) == 0)
			return statements;
	}
	return lappend(statements, statement.data);
}
