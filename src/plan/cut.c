/*-------------------------------------------------------------------------
 *
 * cut.c
 *	  A query into blocks, each of which is one stage.
 *
 * A stage of a plan is one block: a join tree of relations with conditions, and at
 * most one step on top of it (groups, windows, DISTINCT ON, LIMIT), or a UNION ALL of
 * blocks without such a step.  Any other query is cut: a part of it becomes a stage of
 * its own, with a relation that holds its rows, and the query reads that relation
 * instead.  The cuts, in this order:
 *
 *	- ordinary views are replaced by their queries;
 *	- WITH: a query that is used once, or is plain, goes where it is used; one that is
 *	  used several times becomes a stage; so does a recursive one, as a whole;
 *	- UNION, INTERSECT and EXCEPT become groups over a UNION ALL: a row is in the
 *	  result by the numbers of its copies on the left and on the right;
 *	- steps that stand on one another are cut apart: LIMIT over DISTINCT over windows
 *	  over groups; subqueries and set-returning functions over groups, too;
 *	- GROUPING SETS become a UNION ALL of one grouping for each set;
 *	- foreign tables and materialized views are read through a stage that holds a copy;
 *	- subqueries in FROM are merged into their parent if they are plain and no outer
 *	  join stands between; else they become stages;
 *	- subqueries in expressions: see cut_sublinks.c;
 *	- what a window or DISTINCT ON divides its rows by is added to the columns of its
 *	  stage, so that the stage's rows can be found by it, and taken away in the next.
 *
 * What resists stays as it is; then the block can only be recomputed, and analyze.c
 * says so.  Each cut keeps the result the same, whatever the data: it is a rewriting of
 * SQL, independent of how stages are maintained.
 *
 * New queries out of relations of our own and deparsed blocks are put together as text
 * and analysed, because that is readable; what has references to a query around it
 * cannot be deparsed alone and is left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_agg.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteDefine.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "base/compat.h"
#include "plan/cut_private.h"
#include "plan/region.h"
#include "plan/sources.h"
#include "plan/surgery.h"

/* More grouping sets than this are refused by core, too. */
#define MAX_GROUPING_SETS 4096

/* ---------- what a query is ---------- */

/*
 * True if a query has a step above its join tree.
 */
static bool
has_groups(Query *query)
{
	return query->hasAggs || query->groupClause != NIL || query->groupingSets != NIL ||
		   query->havingQual != NULL;
}

static bool
has_limit(Query *query)
{
	return query->limitCount != NULL || query->limitOffset != NULL;
}

/*
 * True if a join tree's items are relations, functions and VALUES.
 */
static bool
is_plain_join_tree(Query *query, Node *node)
{
	ListCell *lc;

	if (IsA(node, RangeTblRef))
	{
		RangeTblEntry *rte = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable);

		if (rte->rtekind == RTE_RELATION)
			return rte->relkind != RELKIND_VIEW && rte->tablesample == NULL;
		return rte->rtekind == RTE_FUNCTION || rte->rtekind == RTE_VALUES ||
			   rte->rtekind == RTE_RESULT;
	}
	if (IsA(node, JoinExpr))
		return is_plain_join_tree(query, ((JoinExpr *) node)->larg) &&
			   is_plain_join_tree(query, ((JoinExpr *) node)->rarg) &&
			   !checkExprHasSubLink(((JoinExpr *) node)->quals);
	foreach (lc, castNode(FromExpr, node)->fromlist)
		if (!is_plain_join_tree(query, lfirst(lc)))
			return false;
	return true;
}

/*
 * True if a condition has subqueries only as EXISTS or NOT EXISTS of plain blocks,
 * which are ANDed.
 */
static bool
is_plain_condition(Node *node)
{
	ListCell *lc;

	if (node == NULL || !checkExprHasSubLink(node))
		return true;
	if (is_andclause(node))
	{
		foreach (lc, ((BoolExpr *) node)->args)
			if (!is_plain_condition(lfirst(lc)))
				return false;
		return true;
	}
	if (is_notclause(node))
		node = (Node *) get_notclausearg((Expr *) node);
	return IsA(node, SubLink) && ((SubLink *) node)->subLinkType == EXISTS_SUBLINK &&
		   derive_cut_is_plain((Query *) ((SubLink *) node)->subselect) &&
		   !derive_surgery_refers_outside(((SubLink *) node)->subselect, 1);
}

/*
 * True if a query is a plain block: a join tree, conditions, columns.
 */
bool
derive_cut_is_plain(Query *query)
{
	return query->commandType == CMD_SELECT && query->setOperations == NULL &&
		   query->cteList == NIL && query->rowMarks == NIL && !has_groups(query) &&
		   !query->hasWindowFuncs && query->distinctClause == NIL && !has_limit(query) &&
		   is_plain_join_tree(query, (Node *) query->jointree) &&
		   is_plain_condition(query->jointree->quals) &&
		   !checkExprHasSubLink((Node *) query->targetList);
}

/*
 * True if a table can have the query's columns.
 */
static bool
is_storable(Query *query)
{
	int ncolumns = 0;
	ListCell *lc;

	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk)
			continue;
		ncolumns++;
		if (get_typtype(exprType((Node *) tle->expr)) == TYPTYPE_PSEUDO)
			return false;
	}
	return ncolumns > 0;
}

/* ---------- stages ---------- */

/*
 * Makes a stage of a block, naming its columns, and returns the stage's relation.
 */
static Oid
make_stage(Cut *cut, Query *block)
{
	int number = 1;
	ListCell *lc;

	foreach (lc, block->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			tle->resname = psprintf("c%d", number++);
	}
	return cut->make(block, cut->arg);
}

/*
 * Makes a stage of a query, cutting it first, and returns the stage's relation.
 */
Oid
derive_cut_stage(Cut *cut, Query *query)
{
	return make_stage(cut, derive_cut_query(cut, query));
}

/*
 * Returns the text of a query's rows as an item of FROM, with columns c1 .. cn.
 */
static char *
from_text(Query *query)
{
	StringInfoData sql;
	int number = 0;
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "(%s) q(", derive_query_deparse(query, false));
	foreach (lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
		{
			appendStringInfo(&sql, "%sc%d", number > 0 ? ", " : "", number + 1);
			number++;
		}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * Returns "c1, c2, ... cn".
 */
static char *
column_list(int n)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 1; i <= n; i++)
		appendStringInfo(&sql, "%sc%d", i > 1 ? ", " : "", i);
	return sql.data;
}

/*
 * Gives a query's columns the names that those of another one have.
 */
static Query *
take_names(Query *query, Query *from)
{
	List *names = NIL;
	ListCell *lc;

	foreach (lc, from->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			names = lappend(names, lfirst_node(TargetEntry, lc)->resname);
	foreach (lc, query->targetList)
		if (foreach_current_index(lc) < list_length(names))
			lfirst_node(TargetEntry, lc)->resname = list_nth(names,
															 foreach_current_index(lc));
	return query;
}

/* ---------- ordinary views ---------- */

/*
 * Turns a range table entry that is an ordinary view into the view's query.
 */
static void
expand_view(RangeTblEntry *rte)
{
	Relation view = table_open(rte->relid, AccessShareLock);
	Query *sub = copyObject(get_view_query(view));

	table_close(view, NoLock);
	AcquireRewriteLocks(sub, true, false);
	setRuleCheckAsUser((Node *) sub, InvalidOid);
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = sub;
	rte->security_barrier = false;
	rte->relid = InvalidOid;
	rte->relkind = 0;
	rte->rellockmode = 0;
	rte->inh = false;
	derive_compat_forget_permissions(rte);
}

/*
 * Replaces ordinary views in FROM by their queries.  Whoever owns the derived view must
 * be allowed to read what they read.
 */
static void
expand_views(Query *query, Node *node)
{
	ListCell *lc;

	if (IsA(node, RangeTblRef))
	{
		RangeTblEntry *rte = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable);

		if (rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_VIEW)
			expand_view(rte);
	}
	else if (IsA(node, JoinExpr))
	{
		expand_views(query, ((JoinExpr *) node)->larg);
		expand_views(query, ((JoinExpr *) node)->rarg);
	}
	else
		foreach (lc, castNode(FromExpr, node)->fromlist)
			expand_views(query, lfirst(lc));
}

/* ---------- WITH ---------- */

/* Where references to a WITH query are looked for. */
typedef struct CteContext
{
	CommonTableExpr *cte;
	Query *query; /* the level at hand */
	int depth;	  /* of it below the level that has the WITH */
	Oid relid;	  /* of its stage, or InvalidOid: put the query itself there */
} CteContext;

/*
 * Replaces references to a WITH query at one level and below; a walker.
 */
static bool
replace_cte_walker(Node *node, CteContext *context)
{
	Query *query = (Query *) node;
	Query *parent = context->query;
	ListCell *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, replace_cte_walker, context);

	context->query = query;
	context->depth++;
	foreach (lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind != RTE_CTE || rte->ctelevelsup != context->depth ||
			strcmp(rte->ctename, context->cte->ctename) != 0)
			continue;
		if (OidIsValid(context->relid))
		{
			derive_surgery_set_relation(query, rte, context->relid);
			continue;
		}
		rte->rtekind = RTE_SUBQUERY;
		rte->subquery = copyObject((Query *) context->cte->ctequery);
		IncrementVarSublevelsUp((Node *) rte->subquery, context->depth, 1);
		rte->security_barrier = false;
		rte->ctename = NULL;
		rte->ctelevelsup = 0;
		rte->coltypes = rte->coltypmods = rte->colcollations = NIL;
	}
	query_tree_walker(query, replace_cte_walker, context, QTW_IGNORE_JOINALIASES);
	context->depth--;
	context->query = parent;
	return false;
}

/*
 * Replaces all references to a WITH query of this level.
 */
static void
replace_cte(Query *query, CommonTableExpr *cte, Oid relid)
{
	CteContext context = {cte, NULL, -1, relid};

	replace_cte_walker((Node *) query, &context);
}

/*
 * Makes "SELECT * FROM a WITH query of this level", with the whole WITH clause.
 */
static Query *
select_from_cte(Query *query, CommonTableExpr *cte)
{
	Query *result = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	ListCell *lname, *ltype, *ltypmod, *lcollation;

	rte->rtekind = RTE_CTE;
	rte->ctename = cte->ctename;
	rte->eref = makeAlias(cte->ctename, copyObject(cte->ctecolnames));
	rte->coltypes = cte->ctecoltypes;
	rte->coltypmods = cte->ctecoltypmods;
	rte->colcollations = cte->ctecolcollations;
	rte->inFromCl = true;
	ref->rtindex = 1;

	result->commandType = CMD_SELECT;
	result->canSetTag = true;
	result->cteList = copyObject(query->cteList);
	result->hasRecursive = query->hasRecursive;
	result->rtable = list_make1(rte);
	result->jointree = makeFromExpr(list_make1(ref), NULL);
	forfour(lname, cte->ctecolnames, ltype, cte->ctecoltypes, ltypmod, cte->ctecoltypmods,
			lcollation, cte->ctecolcollations)
	{
		int number = list_length(result->targetList) + 1;

		result->targetList = lappend(
			result->targetList,
			makeTargetEntry((Expr *) makeVar(1, number, lfirst_oid(ltype),
											 lfirst_int(ltypmod), lfirst_oid(lcollation),
											 0),
							number, psprintf("c%d", number), false));
	}
	return result;
}

/*
 * Takes WITH away: its queries go where they are used, or become stages.
 */
static void
cut_with(Cut *cut, Query *query)
{
	ListCell *lc;

	foreach (lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);
		Query *sub = (Query *) cte->ctequery;
		bool alone = !derive_surgery_refers_outside((Node *) sub, 0);

		if (cte->cterecursive)
		{
			Query *whole = select_from_cte(query, cte);

			if (derive_surgery_refers_outside((Node *) whole, 0) || !is_storable(whole))
				return; /* stays, and is recomputed */
			replace_cte(query, cte, make_stage(cut, whole));
		}
		else if (cte->cterefcount > 1 && alone && is_storable(sub) &&
				 !derive_cut_is_plain(sub))
			replace_cte(query, cte, derive_cut_stage(cut, copyObject(sub)));
		else if (cte->cterefcount > 0)
			replace_cte(query, cte, InvalidOid);
	}
	query->cteList = NIL;
	query->hasRecursive = false;
}

/* ---------- set operations ---------- */

/*
 * Returns the text of one branch: a query's rows, cast to the set operation's types.
 */
static char *
branch_text(Cut *cut, Query *query, SetOperationStmt *types)
{
	StringInfoData sql;
	int number = 1;
	ListCell *ltype, *ltypmod, *lcollation;

	query = derive_cut_query(cut, query);
	if (!derive_cut_is_plain(query) || query->hasTargetSRFs)
		query = derive_surgery_over(derive_cut_stage(cut, query));

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	forthree (ltype, types->colTypes, ltypmod, types->colTypmods, lcollation,
			  types->colCollations)
	{
		appendStringInfo(
			&sql, "%sq.c%d::%s", number > 1 ? ", " : "", number,
			format_type_extended(lfirst_oid(ltype), lfirst_int(ltypmod),
								 FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		if (OidIsValid(lfirst_oid(lcollation)))
			appendStringInfo(&sql, " COLLATE %s",
							 generate_collation_name(lfirst_oid(lcollation)));
		appendStringInfo(&sql, " AS c%d", number++);
	}
	appendStringInfo(&sql, " FROM %s", from_text(query));
	return sql.data;
}

static Query *cut_set_tree(Cut *cut, Query *query, Node *node);

/*
 * Collects the texts of the branches below a node of a set operation that can be
 * joined by UNION ALL; duplicates: it does not matter how often a row is there.
 */
static List *
collect_branches(Cut *cut, Query *query, Node *node, SetOperationStmt *types,
				 bool duplicates)
{
	SetOperationStmt *op = (SetOperationStmt *) node;

	if (IsA(node, SetOperationStmt) && op->op == SETOP_UNION && (op->all || duplicates) &&
		equal(op->colTypes, types->colTypes) &&
		equal(op->colCollations, types->colCollations))
		return list_concat(collect_branches(cut, query, op->larg, types, duplicates),
						   collect_branches(cut, query, op->rarg, types, duplicates));
	return list_make1(branch_text(cut, cut_set_tree(cut, query, node), types));
}

/*
 * Returns branches joined by UNION ALL; side: number in a further column, or 0.
 */
static void
append_branches(StringInfo sql, List *branches, int side)
{
	ListCell *lc;

	foreach (lc, branches)
	{
		appendStringInfoString(sql, sql->len > 0 ? "\nUNION ALL\n" : "");
		if (side > 0)
			appendStringInfo(sql, "SELECT b.*, %d AS side FROM (%s) b", side,
							 (char *) lfirst(lc));
		else
			appendStringInfo(sql, "%s", (char *) lfirst(lc));
	}
}

/*
 * Returns a set operation as a query of blocks.
 */
static Query *
cut_set_tree(Cut *cut, Query *query, Node *node)
{
	SetOperationStmt *op = (SetOperationStmt *) node;
	bool distinct;
	StringInfoData rows;
	char *columns;
	const char *left = "pg_catalog.count(*) FILTER (WHERE side = 1)";
	const char *right = "pg_catalog.count(*) FILTER (WHERE side = 2)";
	char *sql;

	if (IsA(node, RangeTblRef))
		return rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery;

	distinct = !op->all;
	columns = column_list(list_length(op->colTypes));
	initStringInfo(&rows);
	append_branches(&rows, collect_branches(cut, query, op->larg, op, distinct),
					op->op == SETOP_UNION ? 0 : 1);
	append_branches(&rows, collect_branches(cut, query, op->rarg, op, distinct),
					op->op == SETOP_UNION ? 0 : 2);
	if (op->op == SETOP_UNION && op->all)
		sql = rows.data;
	else if (op->op == SETOP_UNION)
		sql = psprintf("SELECT %s FROM (%s) u GROUP BY %s", columns, rows.data, columns);
	else if (distinct)
		sql = psprintf("SELECT %s FROM (%s) u GROUP BY %s HAVING %s > 0 AND %s %s 0",
					   columns, rows.data, columns, left, right,
					   op->op == SETOP_INTERSECT ? ">" : "=");
	else
		sql = psprintf("SELECT %s FROM (SELECT %s, %s AS l, %s AS r FROM (%s) u"
					   " GROUP BY %s) f, LATERAL pg_catalog.generate_series(1, %s) g",
					   columns, columns, left, right, rows.data, columns,
					   op->op == SETOP_INTERSECT ? "LEAST(f.l, f.r)" : "f.l - f.r");
	return derive_surgery_parse(sql);
}

/*
 * True if a query is a UNION ALL of plain blocks.
 */
static bool
is_union_all(Query *query, Node *node)
{
	SetOperationStmt *op = (SetOperationStmt *) node;

	if (node == NULL || has_limit(query))
		return false;
	if (IsA(node, RangeTblRef))
	{
		Query *leaf = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery;

		return derive_cut_is_plain(leaf);
	}
	return op->op == SETOP_UNION && op->all && is_union_all(query, op->larg) &&
		   is_union_all(query, op->rarg);
}

/*
 * Opens the subqueries in the leaves of a UNION ALL.
 */
static void
open_leaves(Cut *cut, Query *query, Node *node)
{
	if (IsA(node, SetOperationStmt))
	{
		open_leaves(cut, query, ((SetOperationStmt *) node)->larg);
		open_leaves(cut, query, ((SetOperationStmt *) node)->rarg);
	}
	else
		derive_cut_open(
			cut, rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable)->subquery);
}

/*
 * Cuts a query that is a set operation.
 */
static Query *
cut_set_operation(Cut *cut, Query *query)
{
	Query *result;

	if (derive_surgery_refers_outside((Node *) query, 0))
		return query;
	result = cut_set_tree(cut, query, query->setOperations);
	if (result->setOperations == NULL)
		return take_names(derive_cut_query(cut, result), query);
	open_leaves(cut, result, result->setOperations);
	if (!is_union_all(result, result->setOperations))
		elog(ERROR, "a branch of UNION ALL could not be cut");
	return take_names(result, query);
}

/* ---------- steps on one another ---------- */

/* What stays below a split. */
typedef enum SplitLevel
{
	SPLIT_COLUMNS, /* whole columns: DISTINCT or LIMIT over anything */
	SPLIT_WINDOWS, /* window functions: something over them */
	SPLIT_GROUPS   /* aggregates and group expressions: something over them */
} SplitLevel;

typedef struct SplitContext
{
	Query *inner;
	SplitLevel level;
	List *groups; /* group expressions, for SPLIT_GROUPS */
	int depth;	  /* of subqueries in expressions */
} SplitContext;

/*
 * Returns a reference to the inner query's column for an expression, adding it.
 */
static Node *
inner_column(SplitContext *context, Node *expression)
{
	TargetEntry *tle;

	expression = copyObject(expression);
	if (context->depth > 0)
		IncrementVarSublevelsUp(expression, -context->depth, context->depth);
	tle = tlist_member((Expr *) expression, context->inner->targetList);
	if (tle == NULL)
	{
		tle = makeTargetEntry((Expr *) expression,
							  list_length(context->inner->targetList) + 1, NULL, false);
		context->inner->targetList = lappend(context->inner->targetList, tle);
	}
	return (Node *) makeVar(1, tle->resno, exprType(expression), exprTypmod(expression),
							exprCollation(expression), context->depth);
}

/*
 * True if a node stays below the split, as a column of the inner query.
 */
static bool
is_atom(Node *node, SplitContext *context)
{
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup == context->depth;
	if (context->level == SPLIT_WINDOWS)
		return IsA(node, WindowFunc) && context->depth == 0;
	if (IsA(node, Aggref))
		return ((Aggref *) node)->agglevelsup == context->depth;
	if (IsA(node, GroupingFunc))
		return ((GroupingFunc *) node)->agglevelsup == context->depth;
	return context->depth == 0 && list_member(context->groups, node);
}

/*
 * Replaces what stays below a split by references to it; a mutator.
 */
static Node *
split_mutator(Node *node, SplitContext *context)
{
	Node *result;

	if (node == NULL)
		return NULL;
	if (is_atom(node, context))
		return inner_column(context, node);
	if (!IsA(node, Query))
		return expression_tree_mutator(node, split_mutator, context);
	context->depth++;
	result = (Node *) query_tree_mutator((Query *) node, split_mutator, context,
										 QTW_IGNORE_JOINALIASES);
	context->depth--;
	return result;
}

/*
 * True if a list of SortGroupClauses refers to a column.
 */
static bool
clauses_refer_to(List *clauses, TargetEntry *tle)
{
	ListCell *lc;

	foreach (lc, clauses)
		if (lfirst_node(SortGroupClause, lc)->tleSortGroupRef == tle->ressortgroupref)
			return true;
	return false;
}

/*
 * Makes the columns of the query above a split by whole columns: those of the query below
 * that are visible, or that the clauses above refer to.
 */
static void
split_columns(Query *inner, Query *outer)
{
	List *visible = NIL;
	List *hidden = NIL;
	ListCell *lc;

	foreach (lc, inner->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Node *expr = (Node *) tle->expr;
		TargetEntry *above;

		if (tle->resjunk && (tle->ressortgroupref == 0 ||
							 (!clauses_refer_to(outer->sortClause, tle) &&
							  !clauses_refer_to(outer->distinctClause, tle))))
		{
			hidden = lappend(hidden, tle);
			continue;
		}
		visible = lappend(visible, tle);
		above = flatCopyTargetEntry(tle);
		above->resno = list_length(visible);
		above->expr = (Expr *) makeVar(1, above->resno, exprType(expr), exprTypmod(expr),
									   exprCollation(expr), 0);
		outer->targetList = lappend(outer->targetList, above);
		tle->resjunk = false;
	}
	inner->targetList = list_concat(visible, hidden);
	foreach (lc, inner->targetList)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
}

/*
 * Splits a query: what is below the level becomes a stage, and what is above is
 * returned as a query over it.
 */
static Query *
split(Cut *cut, Query *query, SplitLevel level)
{
	Query *inner = copyObject(query);
	Query *outer = makeNode(Query);
	SplitContext context = {inner, level, NIL, 0};
	RangeTblRef *ref = makeNode(RangeTblRef);
	ListCell *lc;

	outer->commandType = CMD_SELECT;
	outer->canSetTag = true;
	outer->distinctClause = query->distinctClause;
	outer->hasDistinctOn = query->hasDistinctOn;
	outer->sortClause = query->sortClause;
	outer->limitCount = query->limitCount;
	outer->limitOffset = query->limitOffset;
	outer->limitOption = query->limitOption;
	outer->hasTargetSRFs = query->hasTargetSRFs;
	outer->hasSubLinks = query->hasSubLinks;
	inner->distinctClause = NIL;
	inner->hasDistinctOn = false;
	inner->sortClause = NIL;
	inner->limitCount = inner->limitOffset = NULL;

	if (level == SPLIT_COLUMNS && has_limit(query) && query->distinctClause != NIL)
	{
		/* DISTINCT stays below LIMIT */
		inner->distinctClause = outer->distinctClause;
		inner->hasDistinctOn = outer->hasDistinctOn;
		inner->sortClause = query->sortClause;
		outer->distinctClause = NIL;
		outer->hasDistinctOn = false;
	}
	if (level == SPLIT_COLUMNS)
	{
		outer->hasTargetSRFs = outer->hasSubLinks = false;
		split_columns(inner, outer);
	}
	else
	{
		List *clauses = level == SPLIT_GROUPS ? query->groupClause : NIL;
		List *kept = NIL;
		Node *having = query->havingQual;

		if (level == SPLIT_WINDOWS)
			foreach (lc, query->windowClause)
			{
				WindowClause *window = lfirst_node(WindowClause, lc);

				clauses = list_concat(clauses, list_concat_copy(window->partitionClause,
																window->orderClause));
			}
		foreach (lc, clauses)
			kept = list_append_unique_ptr(
				kept, get_sortgroupclause_tle(lfirst(lc), inner->targetList));
		foreach (lc, kept)
		{
			TargetEntry *tle = lfirst_node(TargetEntry, lc);

			tle->resno = foreach_current_index(lc) + 1;
			tle->resjunk = false;
			context.groups = lappend(context.groups, tle->expr);
		}
		inner->targetList = kept;
		inner->hasTargetSRFs = false;
		if (level == SPLIT_GROUPS)
		{
			outer->windowClause = (List *) split_mutator((Node *) query->windowClause,
														 &context);
			outer->hasWindowFuncs = query->hasWindowFuncs;
			inner->windowClause = NIL;
			inner->hasWindowFuncs = false;
			if (having != NULL && checkExprHasSubLink(having))
				inner->havingQual = NULL;
			else
				having = NULL;
		}
		else
			having = NULL;
		outer->targetList = (List *) split_mutator((Node *) query->targetList, &context);
		outer->jointree = makeFromExpr(NIL, split_mutator(having, &context));
		inner->hasSubLinks = query->hasSubLinks;
	}

	if (outer->jointree == NULL)
		outer->jointree = makeFromExpr(NIL, NULL);
	ref->rtindex = derive_surgery_add_relation(outer, derive_cut_stage(cut, inner), NULL);
	outer->jointree->fromlist = list_make1(ref);
	return outer;
}

/*
 * True if there is a subquery outside of aggregates' arguments and of group expressions;
 * a walker.
 */
static bool
sublink_above_groups_walker(Node *node, List *groups)
{
	if (node == NULL || (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == 0) ||
		(!IsA(node, List) && list_member(groups, node)))
		return false;
	if (IsA(node, SubLink))
		return true;
	return expression_tree_walker(node, sublink_above_groups_walker, groups);
}

/*
 * Returns the group expressions of a query.
 */
static List *
group_expressions(Query *query)
{
	List *groups = NIL;
	ListCell *lc;

	foreach (lc, query->groupClause)
		groups = lappend(groups, get_sortgroupclause_expr(lfirst(lc), query->targetList));
	return groups;
}

/*
 * True if something stands on a query's groups.
 */
static bool
stands_on_groups(Query *query)
{
	List *groups = group_expressions(query);

	return query->hasWindowFuncs || query->hasTargetSRFs ||
		   query->distinctClause != NIL ||
		   sublink_above_groups_walker((Node *) query->targetList, groups) ||
		   sublink_above_groups_walker(query->havingQual, groups);
}

/* ---------- GROUPING SETS ---------- */

typedef struct GroupingSetContext
{
	Query *query;
	List *set;		/* sort group references in this set */
	List *excluded; /* group expressions that are not */
	List *included;
} GroupingSetContext;

/*
 * Puts NULL in place of group expressions that are not in a set, and a constant in
 * place of GROUPING(); a mutator.
 */
static Node *
grouping_set_mutator(Node *node, GroupingSetContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, GroupingFunc) && ((GroupingFunc *) node)->agglevelsup == 0)
	{
		int bits = 0;
		ListCell *lc;

		foreach (lc, ((GroupingFunc *) node)->refs)
			bits = bits << 1 | !list_member_int(context->set, lfirst_int(lc));
		return (Node *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
								  Int32GetDatum(bits), false, true);
	}
	if (IsA(node, Aggref) || list_member(context->included, node))
		return node;
	if (list_member(context->excluded, node))
		return (Node *) makeNullConst(exprType(node), exprTypmod(node),
									  exprCollation(node));
	return expression_tree_mutator(node, grouping_set_mutator, context);
}

/*
 * Returns a query with GROUPING SETS as it is for one of the sets.
 */
static Query *
query_of_set(Query *query, List *set)
{
	Query *result = copyObject(query);
	GroupingSetContext context = {result, set, NIL, NIL};
	List *clauses = NIL;
	List *targets = NIL;
	ListCell *lc;

	foreach (lc, result->groupClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		Node *expr = get_sortgroupclause_expr(clause, result->targetList);

		if (list_member_int(set, clause->tleSortGroupRef))
		{
			clauses = lappend(clauses, clause);
			context.included = lappend(context.included, expr);
		}
		else
			context.excluded = lappend(context.excluded, expr);
	}
	context.excluded = list_difference(context.excluded, context.included);
	foreach (lc, result->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk && !list_member_int(set, tle->ressortgroupref))
			continue;
		if (!list_member_int(set, tle->ressortgroupref))
			tle->ressortgroupref = 0;
		tle->expr = (Expr *) grouping_set_mutator((Node *) tle->expr, &context);
		targets = lappend(targets, tle);
	}
	foreach (lc, targets)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
	result->targetList = targets;
	result->havingQual = grouping_set_mutator(result->havingQual, &context);
	result->groupClause = clauses;
	result->groupingSets = NIL;
	result->groupDistinct = false;
	/* GROUP BY () makes one group even without an aggregate */
	if (clauses == NIL && !result->hasAggs && result->havingQual == NULL)
		result->havingQual = makeBoolConst(true, false);
	return result;
}

/*
 * Cuts GROUPING SETS into one grouping for each set.
 */
static Query *
cut_grouping_sets(Cut *cut, Query *query)
{
	List *sets = expand_grouping_sets(query->groupingSets, query->groupDistinct,
									  MAX_GROUPING_SETS);
	StringInfoData sql;
	ListCell *lc;

	if (derive_surgery_refers_outside((Node *) query, 0))
		return query;
	initStringInfo(&sql);
	foreach (lc, sets)
	{
		Query *one = query_of_set(query, lfirst(lc));
		Oid relid = derive_cut_stage(cut, one);

		appendStringInfo(&sql, "%sSELECT q.* FROM %s", sql.len > 0 ? "\nUNION ALL\n" : "",
						 from_text(derive_surgery_over(relid)));
	}
	return take_names(derive_cut_query(cut, derive_surgery_parse(sql.data)), query);
}

/* ---------- FROM ---------- */

/*
 * Turns inner joins at the top of FROM into items and conditions.  Nothing refers to
 * their range table entries any more, and core expects those of joins to be in FROM.
 */
static void
dissolve_inner_joins(Query *query)
{
	FromExpr *from = query->jointree;
	List *todo = list_copy(from->fromlist);

	from->fromlist = NIL;
	while (todo != NIL)
	{
		JoinExpr *join = linitial(todo);

		todo = list_delete_first(todo);
		if (IsA(join, JoinExpr) && join->jointype == JOIN_INNER)
		{
			todo = lcons(join->larg, lcons(join->rarg, todo));
			from->quals = make_and_qual(join->quals, from->quals);
			derive_surgery_blank(rt_fetch(join->rtindex, query->rtable));
		}
		else
			from->fromlist = lappend(from->fromlist, join);
	}
}

/*
 * True if something under a join of a query refers to a query around it.
 */
static bool
joins_refer_outside(Query *query)
{
	ListCell *lc;

	foreach (lc, query->jointree->fromlist)
	{
		int index = -1;
		Relids members;

		if (!IsA(lfirst(lc), JoinExpr))
			continue;
		if (derive_surgery_refers_outside(lfirst(lc), 1))
			return true;
		members = derive_surgery_items(lfirst(lc));
		while ((index = bms_next_member(members, index)) >= 0)
		{
			RangeTblEntry *rte = rt_fetch(index, query->rtable);

			if (derive_surgery_refers_outside((Node *) rte->functions, 1) ||
				derive_surgery_refers_outside((Node *) rte->values_lists, 1))
				return true;
		}
	}
	return false;
}

/*
 * Makes the query of a stage that holds a copy of a relation whose changes are not in the
 * log: all that reads it sees the same rows, those of the last refresh.  Columns that were
 * dropped keep their place.
 */
static Query *
copy_of_silent(Oid relid)
{
	Query *query = derive_surgery_over(relid);
	List *targets = NIL;
	Relation relation = table_open(relid, NoLock);
	int natts = RelationGetNumberOfAttributes(relation);

	for (int attno = 1; attno <= natts; attno++)
	{
		TargetEntry *tle = list_length(query->targetList) > 0
							   ? linitial_node(TargetEntry, query->targetList)
							   : NULL;

		if (tle != NULL && castNode(Var, tle->expr)->varattno == attno)
			query->targetList = list_delete_first(query->targetList);
		else
			tle = makeTargetEntry((Expr *) makeNullConst(INT4OID, -1, InvalidOid), attno,
								  NULL, false);
		tle->resno = attno;
		targets = lappend(targets, tle);
	}
	table_close(relation, NoLock);
	query->targetList = targets;
	return query;
}

/*
 * Cuts the subqueries among the items of a join tree; direct: no join is around it.
 */
static void
cut_items(Cut *cut, Query *query, Node *node, bool direct)
{
	RangeTblEntry *rte;
	int index;

	if (IsA(node, JoinExpr))
	{
		cut_items(cut, query, ((JoinExpr *) node)->larg, false);
		cut_items(cut, query, ((JoinExpr *) node)->rarg, false);
		return;
	}
	index = castNode(RangeTblRef, node)->rtindex;
	rte = rt_fetch(index, query->rtable);
	if (rte->rtekind == RTE_RELATION && derive_sources_is_silent(rte->relid))
		derive_surgery_set_relation(query, rte,
									make_stage(cut, copy_of_silent(rte->relid)));
	if (rte->rtekind != RTE_SUBQUERY)
		return;
	if (derive_surgery_refers_outside((Node *) rte->subquery, 0))
	{
		derive_cut_open(cut, rte->subquery);
		if (direct && derive_cut_is_plain(rte->subquery) &&
			!rte->subquery->hasTargetSRFs && !joins_refer_outside(rte->subquery))
			derive_surgery_pull_up(query, index);
		return;
	}
	rte->subquery = derive_cut_query(cut, rte->subquery);
	if (direct && derive_cut_is_plain(rte->subquery) && !rte->subquery->hasTargetSRFs)
		derive_surgery_pull_up(query, index);
	else if (is_storable(rte->subquery))
		derive_surgery_set_relation(query, rte, derive_cut_stage(cut, rte->subquery));
}

/*
 * Cuts the subqueries in FROM.
 */
void
derive_cut_from(Cut *cut, Query *query)
{
	ListCell *lc;

	dissolve_inner_joins(query);
	foreach (lc, list_copy(query->jointree->fromlist))
		cut_items(cut, query, lfirst(lc), true);
	dissolve_inner_joins(query);
}

/*
 * Cuts what is below one level of a query, which may refer to queries around it.
 */
void
derive_cut_open(Cut *cut, Query *query)
{
	expand_views(query, (Node *) query->jointree);
	cut_with(cut, query);
	if (query->setOperations != NULL)
		return;
	derive_surgery_flatten(query);
	derive_cut_from(cut, query);
	derive_cut_sublinks(cut, query);
}

/* ---------- what divides the rows of a block ---------- */

/*
 * Returns the sort group references by which all windows of a query divide rows.
 */
static List *
common_partition(Query *query)
{
	List *common = NIL;
	ListCell *lc, *lp;

	foreach (lc, query->windowClause)
	{
		List *refs = NIL;

		foreach (lp, lfirst_node(WindowClause, lc)->partitionClause)
			refs = lappend_int(refs, lfirst_node(SortGroupClause, lp)->tleSortGroupRef);
		common = foreach_current_index(lc) == 0 ? refs
												: list_intersection_int(common, refs);
	}
	return common;
}

/*
 * Makes columns of what divides the rows of a block; the query returned leaves them out
 * again.
 */
static Query *
expose_division(Cut *cut, Query *query)
{
	List *refs = NIL;
	List *visible = NIL;
	List *hidden = NIL;
	Query *outer;
	int nvisible;
	ListCell *lc;

	if (query->hasWindowFuncs)
		refs = common_partition(query);
	else if (query->hasDistinctOn)
		foreach (lc, query->distinctClause)
			refs = lappend_int(refs, lfirst_node(SortGroupClause, lc)->tleSortGroupRef);

	foreach (lc, query->targetList)
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			visible = lappend(visible, lfirst(lc));
	nvisible = list_length(visible);
	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk && list_member_int(refs, tle->ressortgroupref))
		{
			tle->resjunk = false;
			visible = lappend(visible, tle);
		}
		else if (tle->resjunk)
			hidden = lappend(hidden, tle);
	}
	if (list_length(visible) == nvisible)
		return query;
	query->targetList = list_concat(visible, hidden);
	foreach (lc, query->targetList)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
	outer = derive_surgery_over(make_stage(cut, query));
	outer->targetList = list_truncate(outer->targetList, nvisible);
	return outer;
}

/* ---------- all together ---------- */

/*
 * Cuts a query, see the head of this file, and returns the last block.
 */
Query *
derive_cut_query(Cut *cut, Query *query)
{
	Query *given = makeNode(Query);
	Query *before = query;

	check_stack_depth();
	given->targetList = copyObject(query->targetList); /* for its names */
	expand_views(query, (Node *) query->jointree);
	cut_with(cut, query);
	if (query->setOperations != NULL && has_limit(query))
		return derive_cut_query(cut, take_names(split(cut, query, SPLIT_COLUMNS), given));
	if (query->setOperations != NULL)
		return cut_set_operation(cut, query);

	derive_surgery_flatten(query);
	if (!has_limit(query) && !query->hasDistinctOn)
		query->sortClause = NIL;
	if (has_limit(query) && (has_groups(query) || query->hasWindowFuncs ||
							 query->distinctClause != NIL || query->hasTargetSRFs))
		query = split(cut, query, SPLIT_COLUMNS);
	else if (query->distinctClause != NIL &&
			 (query->hasWindowFuncs || query->hasTargetSRFs))
		query = split(cut, query, SPLIT_COLUMNS);
	else if (has_groups(query) && stands_on_groups(query))
		query = split(cut, query, SPLIT_GROUPS);
	else if (query->hasWindowFuncs && query->hasTargetSRFs)
		query = split(cut, query, SPLIT_WINDOWS);
	if (query != before)
		return derive_cut_query(cut, take_names(query, given));

	if (query->groupingSets != NIL)
		return cut_grouping_sets(cut, query);
	derive_cut_from(cut, query);
	derive_cut_sublinks(cut, query);
	return take_names(expose_division(cut, query), given);
}

/*
 * Cuts a query, see cut.h.
 */
Query *
derive_cut(Query *query, StageMaker make, void *arg)
{
	Cut cut = {make, arg};

	return derive_cut_query(&cut, query);
}
