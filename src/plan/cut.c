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
 *	  used several times becomes a stage; so does a recursive one (cut_recursion.c);
 *	- UNION, INTERSECT and EXCEPT become groups over a UNION ALL: a row is in the
 *	  result by the numbers of its copies on the left and on the right (cut_sets.c);
 *	- steps that stand on one another are cut apart: LIMIT over DISTINCT over windows
 *	  over groups; subqueries and set-returning functions over groups, too; windows that
 *	  divide their rows by different expressions (cut_steps.c);
 *	- GROUPING SETS become a UNION ALL of one grouping for each set (cut_sets.c);
 *	- what a constant LIMIT sorts becomes a stage, unless it is one relation as it is, so
 *	  that an index can give its rows in order (first.c);
 *	- foreign tables and materialized views are read through a stage that holds a copy;
 *	- subqueries in FROM are merged into their parent if they are plain and no outer
 *	  join stands between; else they become stages;
 *	- subqueries in expressions: see cut_sublinks.c;
 *	- outer joins become inner ones where a condition above drops the rows without a
 *	  partner anyway, as the planner sees it, too;
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
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteDefine.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "plan/cut_private.h"
#include "plan/first.h"
#include "plan/region.h"
#include "plan/sources.h"
#include "plan/surgery.h"

/* ---------- what a query is ---------- */

/*
 * True if a query has a step above its join tree.
 */
bool
derive_cut_has_groups(Query *query)
{
	return query->hasAggs || query->groupClause != NIL || query->groupingSets != NIL ||
		   query->havingQual != NULL;
}

bool
derive_cut_has_limit(Query *query)
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
		   query->cteList == NIL && query->rowMarks == NIL &&
		   !derive_cut_has_groups(query) && !query->hasWindowFuncs &&
		   query->distinctClause == NIL && !derive_cut_has_limit(query) &&
		   is_plain_join_tree(query, (Node *) query->jointree) &&
		   is_plain_condition(query->jointree->quals) &&
		   !checkExprHasSubLink((Node *) query->targetList);
}

/*
 * True if a table can have the query's columns.
 */
bool
derive_cut_is_storable(Query *query)
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
Oid
derive_cut_make_stage(Cut *cut, Query *block)
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
	return derive_cut_make_stage(cut, derive_cut_query(cut, query));
}

/*
 * Returns the text of a query's rows as an item of FROM, with columns c1 .. cn.
 */
char *
derive_cut_from_text(Query *query)
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
 * Gives a query's columns the names that those of another one have.
 */
Query *
derive_cut_take_names(Query *query, Query *from)
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
 * Replaces ordinary views in FROM by their queries.
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

/*
 * Replaces ordinary views by their queries, at any depth: what no cut takes apart, and is
 * recomputed, must know its tables, too.  Whoever owns the derived view must be allowed to
 * read what they read.  A walker.
 */
static bool
expand_views_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, expand_views_walker, context);
	expand_views((Query *) node, (Node *) ((Query *) node)->jointree);
	return query_tree_walker((Query *) node, expand_views_walker, context,
							 QTW_IGNORE_JOINALIASES);
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
			Query *whole = derive_cut_recursion(cut, query, cte);

			if (whole == NULL)
				return; /* stays, and is recomputed */
			replace_cte(query, cte, derive_cut_make_stage(cut, whole));
		}
		else if (cte->cterefcount > 1 && alone && derive_cut_is_storable(sub) &&
				 !derive_cut_is_plain(sub))
			replace_cte(query, cte, derive_cut_stage(cut, copyObject(sub)));
		else if (cte->cterefcount > 0)
			replace_cte(query, cte, InvalidOid);
	}
	query->cteList = NIL;
	query->hasRecursive = false;
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
		derive_surgery_set_relation(
			query, rte, derive_cut_make_stage(cut, copy_of_silent(rte->relid)));
	if (rte->rtekind != RTE_SUBQUERY)
		return;
	direct = direct && !derive_surgery_reads_rows(query, index);
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
	else if (derive_cut_is_storable(rte->subquery))
		derive_surgery_set_relation(query, rte, derive_cut_stage(cut, rte->subquery));
}

/*
 * Returns the items whose rows conditions drop if they are NULL, as far as built-in functions
 * are concerned: others may be replaced by such that are not strict.
 */
static Relids
nonnullable_items(Node *conditions)
{
	Relids result = NULL;
	ListCell *lc;

	foreach (lc, make_ands_implicit((Expr *) conditions))
		if (!derive_sources_calls_replaceable(lfirst(lc)))
			result = bms_add_members(result, find_nonnullable_rels(lfirst(lc)));
	return result;
}

/*
 * Makes inner joins of outer ones whose rows without a partner some condition above drops
 * anyway; nonnull: the items that conditions above need rows of.
 */
static void
reduce_outer_joins(Query *query, Node *node, Relids nonnull)
{
	JoinExpr *join = (JoinExpr *) node;
	JoinType type;
	bool left;
	bool right;
	Relids own;

	if (!IsA(join, JoinExpr))
		return;
	type = join->jointype;
	left = bms_overlap(derive_surgery_items(join->larg), nonnull);
	right = bms_overlap(derive_surgery_items(join->rarg), nonnull);
	if (type == JOIN_FULL && (left || right))
		type = left ? JOIN_LEFT : JOIN_RIGHT;
	if ((type == JOIN_LEFT && right) || (type == JOIN_RIGHT && left))
		type = JOIN_INNER;
	if (type != join->jointype)
		derive_surgery_set_join_type(query, join, type);

	own = bms_union(nonnull, nonnullable_items(join->quals));
	reduce_outer_joins(query, join->larg,
					   type == JOIN_INNER	? own
					   : type == JOIN_LEFT	? nonnull
					   : type == JOIN_RIGHT ? nonnullable_items(join->quals)
											: NULL);
	reduce_outer_joins(query, join->rarg,
					   type == JOIN_INNER	? own
					   : type == JOIN_RIGHT ? nonnull
					   : type == JOIN_LEFT	? nonnullable_items(join->quals)
											: NULL);
}

/*
 * Moves a condition down to an inner join on the preserved side of left joins, if all
 * that it mentions is there.
 */
static bool
push_down(Node *node, Node *condition, Relids mentioned)
{
	JoinExpr *join = (JoinExpr *) node;

	if (!IsA(join, JoinExpr) || !bms_is_subset(mentioned, derive_surgery_items(node)))
		return false;
	if (join->jointype == JOIN_LEFT)
		return push_down(join->larg, condition, mentioned);
	if (join->jointype != JOIN_INNER)
		return false;
	if (push_down(join->larg, condition, mentioned) ||
		push_down(join->rarg, condition, mentioned))
		return true;
	if (join->usingClause != NIL || join->isNatural)
		return false; /* it is printed without its conditions */
	join->quals = make_and_qual(join->quals, condition);
	return true;
}

/*
 * Moves conditions of WHERE to where their tables are joined: what is joined to these
 * rows then sees only those that are left.
 */
static void
push_conditions_down(Query *query)
{
	List *conditions = NIL;
	ListCell *lc, *lf;

	foreach (lc, make_ands_implicit((Expr *) query->jointree->quals))
	{
		Node *condition = lfirst(lc);
		Relids mentioned = pull_varnos(NULL, condition);
		bool pushed = false;

		if (!bms_is_empty(mentioned) && !checkExprHasSubLink(condition))
			foreach (lf, query->jointree->fromlist)
				if (!pushed)
					pushed = push_down(lfirst(lf), condition, mentioned);
		if (!pushed)
			conditions = lappend(conditions, condition);
	}
	query->jointree->quals = conditions == NIL ? NULL
											   : (Node *) make_ands_explicit(conditions);
}

/*
 * Simplifies the joins of one level of a query, after its conditions are what they will
 * be.
 */
void
derive_cut_joins(Query *query)
{
	Relids nonnull = nonnullable_items(query->jointree->quals);
	ListCell *lc;

	foreach (lc, query->jointree->fromlist)
		reduce_outer_joins(query, lfirst(lc), nonnull);
	dissolve_inner_joins(query);
	push_conditions_down(query);
}

/*
 * Finds a subquery in a join tree that was not tried, and the join whose right side it is.
 */
static bool
find_subquery(Query *query, Node *node, JoinExpr *parent, Bitmapset *tried, int *index,
			  JoinExpr **join)
{
	ListCell *lc;

	if (IsA(node, RangeTblRef))
	{
		*index = ((RangeTblRef *) node)->rtindex;
		*join = parent;
		return rt_fetch(*index, query->rtable)->rtekind == RTE_SUBQUERY &&
			   !bms_is_member(*index, tried);
	}
	if (IsA(node, JoinExpr))
	{
		JoinExpr *here = (JoinExpr *) node;

		/* on the left side of a join is as good as anywhere, but there a stage is not */
		return (IsA(here->larg, JoinExpr) &&
				find_subquery(query, here->larg, NULL, tried, index, join)) ||
			   find_subquery(query, here->rarg, here, tried, index, join);
	}
	foreach (lc, castNode(FromExpr, node)->fromlist)
		if (find_subquery(query, lfirst(lc), NULL, tried, index, join))
			return true;
	return false;
}

/*
 * Cuts the subqueries in FROM.
 */
void
derive_cut_from(Cut *cut, Query *query)
{
	Bitmapset *tried = NULL;
	JoinExpr *join;
	int index;
	ListCell *lc;

	dissolve_inner_joins(query);
	foreach (lc, list_copy(query->jointree->fromlist))
		cut_items(cut, query, lfirst(lc), true);
	while (find_subquery(query, (Node *) query->jointree, NULL, tried, &index, &join))
	{
		tried = bms_add_member(tried, index);
		if (!derive_surgery_reads_whole_row(query, index))
			derive_cut_lateral(cut, query, index, join);
	}
	dissolve_inner_joins(query);
}

/*
 * Cuts what is below one level of a query, which may refer to queries around it.
 */
void
derive_cut_open(Cut *cut, Query *query)
{
	cut_with(cut, query);
	if (query->setOperations != NULL)
		return;
	derive_surgery_flatten(query);
	derive_cut_from(cut, query);
	derive_cut_sublinks(cut, query);
	derive_cut_joins(query);
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
	cut_with(cut, query);
	if (query->setOperations != NULL && derive_cut_has_limit(query))
		return derive_cut_query(
			cut,
			derive_cut_take_names(derive_cut_split(cut, query, SPLIT_COLUMNS), given));
	if (query->setOperations != NULL)
		return derive_cut_set_operation(cut, query);

	derive_surgery_flatten(query);
	if (!derive_cut_has_limit(query) && !query->hasDistinctOn)
		query->sortClause = NIL;
	if (derive_cut_has_limit(query) &&
		(derive_cut_has_groups(query) || query->hasWindowFuncs ||
		 query->distinctClause != NIL || query->hasTargetSRFs))
		query = derive_cut_split(cut, query, SPLIT_COLUMNS);
	else if (query->distinctClause != NIL &&
			 (query->hasWindowFuncs || query->hasTargetSRFs))
		query = derive_cut_split(cut, query, SPLIT_COLUMNS);
	else if (derive_cut_has_groups(query) && derive_cut_stands_on_groups(query))
		query = derive_cut_split(cut, query, SPLIT_GROUPS);
	else if (query->hasWindowFuncs &&
			 (query->hasTargetSRFs || derive_cut_has_separate_windows(query)))
		query = derive_cut_split(cut, query, SPLIT_WINDOWS);
	if (query != before)
		return derive_cut_query(cut, derive_cut_take_names(query, given));

	if (query->groupingSets != NIL)
		return derive_cut_grouping_sets(cut, query);
	derive_cut_from(cut, query);
	if (derive_first_is_bounded(query) && !derive_first_is_of_relation(query) &&
		derive_first_is_storable(query))
		return derive_cut_query(
			cut,
			derive_cut_take_names(derive_cut_split(cut, query, SPLIT_COLUMNS), given));
	derive_cut_sublinks(cut, query);
	derive_cut_joins(query);
	return derive_cut_take_names(derive_cut_expose_division(cut, query), given);
}

/*
 * Cuts a query, see cut.h.
 */
Query *
derive_cut(Query *query, StageMaker make, void *arg)
{
	Cut cut = {make, arg};

	expand_views_walker((Node *) query, NULL);
	return derive_cut_query(&cut, query);
}
