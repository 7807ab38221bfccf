/*-------------------------------------------------------------------------
 *
 * first.c
 *	  Stages of the first rows by an order: ORDER BY ... LIMIT.
 *
 * The rows of a LIMIT depend on each other only by their order: they are one part of
 * keys.c without a key, which any change below may touch.  So at a change its new content
 * is computed again and compared with the stored rows, all of which it is.  What keeps
 * the cost from following the relation is that it ends after OFFSET + LIMIT rows, if an
 * index gives the rows in order.  An index there can be for the columns of a relation
 * only, so the cut (cut.c) makes a stage of anything else that is sorted: rows that are
 * filtered, joined or grouped, and expressions to sort by are its columns, and its index
 * is made with the view.  A relation that is sorted as it is is read directly, and
 * derive.advise names the index.
 *
 * The delta says only that something changed; its rows are not read, so that sources need
 * not log old rows.
 *
 * Where rows tie at the end, core may take any of them, and so may each tick.  WITH TIES
 * takes them all: then the cost follows their number, too.  OFFSET alone has no end, and
 * neither has a LIMIT that is not a constant: such blocks are recomputed.
 *
 * The index has the sort columns up to the first one of a type whose values may be long,
 * which can be the first of all only: long values do not fit into an index, and of rows
 * that tie so far few are sorted by the rest.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type_d.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "plan/first.h"
#include "plan/region.h"
#include "plan/sources.h"

/* A column of the order. */
typedef struct SortColumn
{
	AttrNumber attno;
	bool descending;
	bool nulls_first;
	Oid opfamily;
	Oid collation;
} SortColumn;

/*
 * Reads the number of a LIMIT or OFFSET; false if it is not a constant.
 */
static bool
read_count(Node *node, int64 otherwise, int64 *count)
{
	Const *value;

	*count = otherwise;
	if (node == NULL)
		return true;
	if (derive_sources_calls_replaceable(node))
		return false;
	value = (Const *) eval_const_expressions(NULL, node);
	if (!IsA(value, Const) || value->consttype != INT8OID)
		return false;
	if (!value->constisnull)
		*count = DatumGetInt64(value->constvalue);
	return *count >= 0 && *count <= PG_INT32_MAX;
}

/*
 * Reads OFFSET and LIMIT, see first.h.
 */
bool
derive_first_counts(Query *query, int64 *skip, int64 *count)
{
	return read_count(query->limitOffset, 0, skip) &&
		   read_count(query->limitCount, PG_INT32_MAX, count);
}

/*
 * Says whether a query has a constant LIMIT, see first.h.
 */
bool
derive_first_is_bounded(Query *query)
{
	int64 skip;
	int64 count;

	return derive_first_counts(query, &skip, &count) && count < PG_INT32_MAX &&
		   query->sortClause != NIL;
}

/*
 * True if an expression is a column of the query's only relation, or constant.
 */
static bool
is_column(Node *expression)
{
	Var *var = (Var *) expression;

	if (IsA(expression, Const))
		return true;
	return IsA(var, Var) && var->varlevelsup == 0 && var->varattno > 0;
}

/*
 * Says whether a query only sorts a relation, see first.h.
 */
bool
derive_first_is_of_relation(Query *query)
{
	RangeTblRef *ref;
	RangeTblEntry *rte;
	ListCell *lc;

	if (query->setOperations != NULL || query->cteList != NIL || query->hasAggs ||
		query->groupClause != NIL || query->groupingSets != NIL ||
		query->havingQual != NULL || query->hasWindowFuncs ||
		query->distinctClause != NIL || query->hasTargetSRFs ||
		checkExprHasSubLink((Node *) query->targetList) ||
		query->jointree->quals != NULL || list_length(query->jointree->fromlist) != 1)
		return false;
	ref = linitial(query->jointree->fromlist);
	if (!IsA(ref, RangeTblRef))
		return false;
	rte = rt_fetch(ref->rtindex, query->rtable);
	if (rte->rtekind != RTE_RELATION || rte->relkind == RELKIND_VIEW ||
		rte->tablesample != NULL || derive_sources_is_silent(rte->relid) ||
		derive_sources_is_tree(rte))
		return false;
	foreach (lc, query->sortClause)
		if (!is_column(get_sortgroupclause_expr(lfirst(lc), query->targetList)))
			return false;
	return true;
}

/*
 * Says whether all of a query's columns can be stored, see first.h.
 */
bool
derive_first_is_storable(Query *query)
{
	ListCell *lc;

	foreach (lc, query->targetList)
		if (get_typtype(exprType((Node *) lfirst_node(TargetEntry, lc)->expr)) ==
			TYPTYPE_PSEUDO)
			return false;
	return true;
}

/*
 * Reads a clause of the order; false if it is not the default order of a column's type.
 */
static bool
read_sort_column(Query *query, SortGroupClause *clause, SortColumn *column)
{
	Var *var = (Var *) get_sortgroupclause_expr(clause, query->targetList);
	TypeCacheEntry *type = lookup_type_cache(
		var->vartype, TYPECACHE_LT_OPR | TYPECACHE_GT_OPR | TYPECACHE_BTREE_OPFAMILY);

	column->attno = var->varattno;
	column->descending = clause->sortop == type->gt_opr;
	column->nulls_first = clause->nulls_first;
	column->opfamily = type->btree_opf;
	column->collation = var->varcollid;
	return OidIsValid(type->btree_opf) &&
		   (clause->sortop == type->lt_opr || clause->sortop == type->gt_opr);
}

/*
 * Reads the order of a query of one relation, constants and repetitions left out, into
 * an array; returns how many columns there are, or -1 if no index has that order.
 */
static int
read_order(Query *query, SortColumn *columns)
{
	int n = 0;
	ListCell *lc;

	foreach (lc, query->sortClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		bool repeated = false;

		if (IsA(get_sortgroupclause_expr(clause, query->targetList), Const))
			continue;
		if (!read_sort_column(query, clause, &columns[n]))
			return -1;
		for (int i = 0; i < n; i++)
			repeated |= columns[i].attno == columns[n].attno;
		n += !repeated;
	}
	return n;
}

/*
 * Says what keeps a query from being such a stage, see first.h.
 */
const char *
derive_first_obstacle(Query *query)
{
	SortColumn *columns = palloc_array(SortColumn, list_length(query->sortClause) + 1);
	int64 skip;
	int64 count;

	if (!derive_first_counts(query, &skip, &count))
		return "LIMIT or OFFSET by something else than a constant";
	if (count == PG_INT32_MAX)
		return "LIMIT ALL or OFFSET alone";
	if (!derive_first_is_of_relation(query))
		return "LIMIT or OFFSET";
	if (read_order(query, columns) < 0)
		return "LIMIT by an order that no index has by default";
	return NULL;
}

/*
 * Returns the sentence for explain, see first.h.
 */
char *
derive_first_why(Query *query)
{
	int64 skip = 0;
	int64 count = 0;

	(void) derive_first_counts(query, &skip, &count);
	return psprintf("all rows are one group: at each change its first " INT64_FORMAT
					" (OFFSET and LIMIT)%s are read again",
					skip + count,
					query->limitOption == LIMIT_OPTION_WITH_TIES
						? ", and those that tie with the last,"
						: "");
}

/* ---------- the index ---------- */

/*
 * True if all values of a column's type are short.
 */
static bool
is_short(Oid relid, AttrNumber attno)
{
	Oid type = getBaseType(get_atttype(relid, attno));

	return get_typlen(type) > 0 || type == NUMERICOID;
}

/*
 * Returns how many of an order's n columns the index should have, see the head of this
 * file.
 */
static int
index_columns(Oid relid, const SortColumn *columns, int n)
{
	int used = Min(n, 1);

	if (n > 0 && !is_short(relid, columns[0].attno))
		return 1;
	while (used < Min(n, INDEX_MAX_KEYS) && is_short(relid, columns[used].attno))
		used++;
	return used;
}

/*
 * True if an index gives rows in the order of n columns, forward or backward; or up to
 * columns that no two rows have in common.
 */
static bool
index_has_order(Relation index, const SortColumn *columns, int n)
{
	int nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	int matching = 0;
	bool backward = false;

	if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisvalid ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	for (; matching < Min(n, nkeys); matching++)
	{
		const SortColumn *column = &columns[matching];
		int16 option = index->rd_indoption[matching];
		bool descending = (option & INDOPTION_DESC) != 0;
		bool nulls_first = (option & INDOPTION_NULLS_FIRST) != 0;

		if (matching == 0)
			backward = descending != column->descending;
		if (index->rd_index->indkey.values[matching] != column->attno ||
			index->rd_opfamily[matching] != column->opfamily ||
			index->rd_indcollation[matching] != column->collation ||
			(descending != column->descending) != backward ||
			(nulls_first != column->nulls_first) != backward)
			break;
	}
	return matching == n || (matching == nkeys && index->rd_index->indisunique);
}

/*
 * True if a relation has an index for an order of n columns.
 */
static bool
has_ordered_index(Oid relid, const SortColumn *columns, int n)
{
	Relation relation = table_open(relid, NoLock);
	bool found = false;
	ListCell *lc;

	foreach (lc, RelationGetIndexList(relation))
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= index_has_order(index, columns, n);
		index_close(index, AccessShareLock);
	}
	table_close(relation, NoLock);
	return found;
}

/*
 * Returns the statement for the missing index, see first.h.
 */
List *
derive_first_missing_index(ViewPlan *plan)
{
	Query *query = plan->query;
	Oid relid = ((PlanSource *) linitial(plan->sources))->relid;
	SortColumn *columns = palloc_array(SortColumn, list_length(query->sortClause) + 1);
	int n = index_columns(relid, columns, read_order(query, columns));
	StringInfoData text;

	if (n == 0 || has_ordered_index(relid, columns, n))
		return NIL;
	initStringInfo(&text);
	appendStringInfo(&text, "CREATE INDEX ON %s (", derive_relation_name(relid));
	for (int i = 0; i < n; i++)
	{
		SortColumn *column = &columns[i];

		appendStringInfo(&text, "%s%s%s", i > 0 ? ", " : "",
						 quote_identifier(get_attname(relid, column->attno, false)),
						 column->descending ? " DESC" : "");
		if (column->nulls_first != column->descending)
			appendStringInfo(&text, " NULLS %s", column->nulls_first ? "FIRST" : "LAST");
	}
	appendStringInfoChar(&text, ')');
	return list_make1(text.data);
}
