/*-------------------------------------------------------------------------
 *
 * surgery.c
 *	  Changes to analysed queries that keep them valid.
 *
 * What cut.c needs to take queries apart and put them together: an item of FROM
 * becomes another one, a join is added, a subquery is merged into its parent.  Valid
 * means: core can deparse, store, plan and run the result.  References to columns of
 * joins are flattened first, so that only items of FROM that hold rows are referred
 * to; the entries of joins and merged subqueries that nothing refers to any more stay
 * in the range table, as the planner leaves them, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "plan/surgery.h"

/* How deep the walk over a query is below the levels that belong to it. */
typedef struct OutsideContext
{
	int levels;
} OutsideContext;

/*
 * Tells whether a node, or a query below it, refers to a query further out; a walker.
 */
static bool
outside_walker(Node *node, OutsideContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup >= context->levels;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup >= context->levels)
		return true;
	if (IsA(node, GroupingFunc) &&
		((GroupingFunc *) node)->agglevelsup >= context->levels)
		return true;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		/* a CTE of the query itself has ctelevelsup 0 */
		return rte->rtekind == RTE_CTE && rte->ctelevelsup >= context->levels;
	}
	if (IsA(node, Query))
	{
		bool result;

		context->levels++;
		result = query_tree_walker((Query *) node, outside_walker, context,
								   QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
		context->levels--;
		return result;
	}
	return expression_tree_walker(node, outside_walker, context);
}

/*
 * Tells whether an expression (levels: how many queries around it count as inside;
 * for a Query: those around it, 0 for none) refers to a query further out.
 */
bool
derive_surgery_refers_outside(Node *node, int levels)
{
	OutsideContext context = {levels};

	return outside_walker(node, &context);
}

/* A reference to an item of FROM as a whole that is looked for. */
typedef struct WholeRow
{
	int rtindex;
	int depth; /* of the query at hand below the one that has the item */
} WholeRow;

/*
 * Tells whether an expression refers to the row of an item of FROM as a whole; a walker.
 */
static bool
whole_row_walker(Node *node, WholeRow *wanted)
{
	bool result;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varno == wanted->rtindex &&
			   ((Var *) node)->varlevelsup == wanted->depth &&
			   ((Var *) node)->varattno == InvalidAttrNumber;
	if (!IsA(node, Query))
		return expression_tree_walker(node, whole_row_walker, wanted);
	wanted->depth++;
	result = query_tree_walker((Query *) node, whole_row_walker, wanted,
							   QTW_IGNORE_JOINALIASES);
	wanted->depth--;
	return result;
}

/*
 * Tells whether a query, or one below it, refers to the row of an item of its FROM as a whole.
 */
bool
derive_surgery_reads_whole_row(Query *query, int rtindex)
{
	WholeRow wanted = {rtindex, 0};

	return query_tree_walker(query, whole_row_walker, &wanted, QTW_IGNORE_JOINALIASES);
}

/*
 * Tells whether a query is about rows that a subquery in its FROM makes, be it the subquery's
 * own or columns that are rows without a type.  If what they consist of took their place, core
 * would print that as ROW(...), and read a comparison of such as one column by column.
 */
bool
derive_surgery_reads_rows(Query *query, int rtindex)
{
	ListCell *lc;

	foreach (lc, rt_fetch(rtindex, query->rtable)->subquery->targetList)
		if (exprType((Node *) lfirst_node(TargetEntry, lc)->expr) == RECORDOID)
			return true;
	return derive_surgery_reads_whole_row(query, rtindex);
}

/*
 * Takes the names of joins, which hide the names of what is joined, out of a query, and lets
 * references to its columns, at any depth, be printed as what they are and not as columns
 * of a join; a walker.
 */
static bool
unname_joins_walker(Node *node, int *depth)
{
	bool result;

	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == *depth)
	{
		((Var *) node)->varnosyn = ((Var *) node)->varno;
		((Var *) node)->varattnosyn = ((Var *) node)->varattno;
	}
	if (IsA(node, JoinExpr) && *depth == 0)
		((JoinExpr *) node)->alias = ((JoinExpr *) node)->join_using_alias = NULL;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_JOIN && *depth == 0)
			rte->alias = rte->join_using_alias = NULL;
		return false;
	}
	if (!IsA(node, Query))
		return expression_tree_walker(node, unname_joins_walker, depth);
	(*depth)++;
	result = query_tree_walker((Query *) node, unname_joins_walker, depth,
							   QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	(*depth)--;
	return result;
}

/*
 * Replaces references to columns of joins, and of the grouping step, by what they
 * stand for, in all of a query and the subqueries in its expressions and in FROM.
 */
void
derive_surgery_flatten(Query *query)
{
	int depth = 0;
	ListCell *lc;

	query->targetList = (List *) derive_flatten_group_vars(query,
														   (Node *) query->targetList);
	query->havingQual = derive_flatten_group_vars(query, query->havingQual);
	query->targetList = (List *) derive_flatten_join_vars(query,
														  (Node *) query->targetList);
	query->havingQual = derive_flatten_join_vars(query, query->havingQual);
	query->jointree = (FromExpr *) derive_flatten_join_vars(query,
															(Node *) query->jointree);
	foreach (lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		rte->functions = (List *) derive_flatten_join_vars(query,
														   (Node *) rte->functions);
		rte->values_lists = (List *) derive_flatten_join_vars(query,
															  (Node *) rte->values_lists);
		rte->tablefunc = (TableFunc *) derive_flatten_join_vars(query,
																(Node *) rte->tablefunc);
		rte->subquery = (Query *) derive_flatten_join_vars(query, (Node *) rte->subquery);
	}
	derive_compat_no_group_rte(query);
	query_tree_walker(query, unname_joins_walker, &depth,
					  QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
}

/*
 * Turns an item of FROM into a relation with the same columns, which the caller has
 * locked.  The names by which the query knows its columns stay.
 */
void
derive_surgery_set_relation(Query *query, RangeTblEntry *rte, Oid relid)
{
	Relation relation = table_open(relid, NoLock);
	RangeTblEntry *made = derive_compat_make_relation_rte(query, relation);

	made->alias = makeAlias(rte->eref->aliasname, NIL);
	made->eref = copyObject(rte->eref);
	while (list_length(made->eref->colnames) > RelationGetNumberOfAttributes(relation))
		made->eref->colnames = list_delete_last(made->eref->colnames);
	*rte = *made;
	table_close(relation, NoLock);
}

/*
 * Adds a relation, which the caller has locked, to a query's range table, and returns
 * its index; it is not in FROM yet.
 */
int
derive_surgery_add_relation(Query *query, Oid relid, const char *name)
{
	Relation relation = table_open(relid, NoLock);
	RangeTblEntry *rte = derive_compat_make_relation_rte(query, relation);

	if (name != NULL)
	{
		rte->alias = makeAlias(name, NIL);
		rte->eref->aliasname = pstrdup(name);
	}
	query->rtable = lappend(query->rtable, rte);
	table_close(relation, NoLock);
	return list_length(query->rtable);
}

/*
 * Returns the range table index of an item of a join tree.
 */
static int
item_index(Node *item)
{
	return IsA(item, JoinExpr) ? ((JoinExpr *) item)->rtindex
							   : castNode(RangeTblRef, item)->rtindex;
}

/*
 * Adds the items of a join tree to a set; a walker.
 */
static bool
items_walker(Node *node, Bitmapset **items)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
		*items = bms_add_member(*items, ((RangeTblRef *) node)->rtindex);
	return expression_tree_walker(node, items_walker, items);
}

/*
 * Returns the range table indexes of the items of a join tree, without those of joins.
 */
Bitmapset *
derive_surgery_items(Node *node)
{
	Bitmapset *items = NULL;

	items_walker(node, &items);
	return items;
}

/*
 * Makes a join's range table entry, without merged columns.
 */
static RangeTblEntry *
make_join_rte(Query *query, JoinExpr *join)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Node *sides[] = {join->larg, join->rarg};

	rte->rtekind = RTE_JOIN;
	rte->jointype = join->jointype;
	rte->eref = makeAlias("unnamed_join", NIL);
	for (int i = 0; i < 2; i++)
	{
		int index = item_index(sides[i]);
		List *names;
		List *vars;
		ListCell *lc;

		derive_compat_expand_rte(rt_fetch(index, query->rtable), index, &names, &vars);
		rte->eref->colnames = list_concat(rte->eref->colnames, names);
		rte->joinaliasvars = list_concat(rte->joinaliasvars, vars);
		foreach (lc, vars)
		{
			/* columns of a join count from 1, those of others have their numbers */
			int number = IsA(sides[i], JoinExpr) ? foreach_current_index(lc) + 1
												 : lfirst_node(Var, lc)->varattno;

			if (i == 0)
				rte->joinleftcols = lappend_int(rte->joinleftcols, number);
			else
				rte->joinrightcols = lappend_int(rte->joinrightcols, number);
		}
	}
	rte->inFromCl = true;
	return rte;
}

/*
 * Gives a join a range table entry behind those of its sides, as core wants it.
 */
static void
add_join_rte(Query *query, JoinExpr *join)
{
	query->rtable = lappend(query->rtable, make_join_rte(query, join));
	join->rtindex = list_length(query->rtable);
}

/*
 * Joins two items of a join tree.
 */
static Node *
make_join(Query *query, JoinType type, Node *left, Node *right, List *quals)
{
	JoinExpr *join = makeNode(JoinExpr);

	join->jointype = type;
	join->larg = left;
	join->rarg = right;
	join->quals = quals == NIL ? makeBoolConst(true, false)
							   : (Node *) make_ands_explicit(quals);
	add_join_rte(query, join);
	return (Node *) join;
}

/*
 * Takes USING from the joins of a join tree, from the bottom up; nothing refers to their
 * columns any more.
 */
static void
take_using(Query *query, Node *node)
{
	JoinExpr *join = (JoinExpr *) node;
	ListCell *lc;

	if (IsA(node, FromExpr))
		foreach (lc, ((FromExpr *) node)->fromlist)
			take_using(query, lfirst(lc));
	if (!IsA(node, JoinExpr))
		return;
	take_using(query, join->larg);
	take_using(query, join->rarg);
	join->usingClause = NIL;
	join->isNatural = false;
	*rt_fetch(join->rtindex, query->rtable) = *make_join_rte(query, join);
}

/*
 * Gives a query's joins conditions in place of USING and NATURAL.
 */
void
derive_surgery_join_on(Query *query)
{
	derive_surgery_flatten(query);
	take_using(query, (Node *) query->jointree);
}

/*
 * Adds an item to an item of a join tree, so that the conditions of the joins around that
 * one, outermost first, may refer to it.  No reference goes by the columns of these joins.
 */
void
derive_surgery_join_below(Query *query, Node *added, Node **place, List *joins)
{
	*place = make_join(query, JOIN_INNER, added, *place, NIL);
	for (int i = list_length(joins) - 1; i >= 0; i--)
	{
		JoinExpr *join = list_nth_node(JoinExpr, joins, i);

		derive_surgery_blank(rt_fetch(join->rtindex, query->rtable));
		join->alias = NULL;
		add_join_rte(query, join);
	}
}

/*
 * Joins the range table entry rtindex, on the nullable side, to all of FROM.
 */
void
derive_surgery_left_join(Query *query, int rtindex, List *quals)
{
	RangeTblRef *ref = makeNode(RangeTblRef);
	Node *left = NULL;
	ListCell *lc;

	foreach (lc, query->jointree->fromlist)
		left = left == NULL ? lfirst(lc)
							: make_join(query, JOIN_INNER, left, lfirst(lc), NIL);
	ref->rtindex = rtindex;
	query->jointree->fromlist = list_make1(
		left == NULL ? (Node *) ref
					 : make_join(query, JOIN_LEFT, left, (Node *) ref, quals));
}

/* A join that no longer makes columns NULL. */
typedef struct NullingContext
{
	int join;
	Index level;
} NullingContext;

/*
 * Takes back that a join makes columns NULL; a walker.
 */
static bool
forget_nulling_walker(Node *node, NullingContext *context)
{
	bool result;

	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == context->level)
		derive_compat_forget_nulling((Var *) node, context->join);
	if (!IsA(node, Query))
		return expression_tree_walker(node, forget_nulling_walker, context);
	context->level++;
	result = query_tree_walker((Query *) node, forget_nulling_walker, context, 0);
	context->level--;
	return result;
}

/*
 * Changes what a join keeps, to less: the caller knows that the result stays the same.
 */
void
derive_surgery_set_join_type(Query *query, JoinExpr *join, JoinType type)
{
	NullingContext context = {join->rtindex, 0};

	join->jointype = type;
	rt_fetch(join->rtindex, query->rtable)->jointype = type;
	if (type == JOIN_INNER)
		query_tree_walker(query, forget_nulling_walker, &context, 0);
}

/*
 * Makes a placeholder of a range table entry that nothing refers to.
 */
void
derive_surgery_blank(RangeTblEntry *rte)
{
	RangeTblEntry *blank = makeNode(RangeTblEntry);

	blank->rtekind = RTE_RESULT;
	blank->eref = makeAlias("unused", NIL);
	*rte = *blank;
}

/*
 * Lets the items of a subquery that was LATERAL refer to those before them, as it did.
 */
static void
make_lateral(Query *sub)
{
	ListCell *lc;

	foreach (lc, sub->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_FUNCTION || rte->rtekind == RTE_VALUES ||
			rte->rtekind == RTE_SUBQUERY || rte->rtekind == RTE_TABLEFUNC)
			rte->lateral = true;
	}
}

/*
 * Merges a subquery into the query that has it in FROM, directly and not under a join.
 * The subquery is a plain block: FROM, WHERE and a target list without set-returning
 * functions; the query is not about its rows.
 */
void
derive_surgery_pull_up(Query *query, int rtindex)
{
	RangeTblEntry *rte = rt_fetch(rtindex, query->rtable);
	Query *sub = rte->subquery;
	int offset = list_length(query->rtable);
	List *fromlist = NIL;
	ListCell *lc;

	rte->subquery = NULL;
	if (rte->lateral)
		make_lateral(sub);
	OffsetVarNodes((Node *) sub, offset, 0);
	IncrementVarSublevelsUp((Node *) sub, -1, 1);
	foreach (lc, query->jointree->fromlist)
	{
		RangeTblRef *ref = lfirst(lc);

		if (IsA(ref, RangeTblRef) && ref->rtindex == rtindex)
			fromlist = list_concat(fromlist, sub->jointree->fromlist);
		else
			fromlist = lappend(fromlist, ref);
	}
	query->jointree->fromlist = fromlist;
	query->jointree->quals = make_and_qual(query->jointree->quals, sub->jointree->quals);
	derive_compat_combine_range_tables(query, sub);
	query->hasSubLinks |= sub->hasSubLinks;
	*query = *(Query *) derive_compat_replace_vars((Node *) query, rtindex, rte,
												   sub->targetList, NULL);
	rte = rt_fetch(rtindex, query->rtable);

	derive_surgery_blank(rte);
}

/*
 * Makes "SELECT all columns FROM relation", which the caller has locked.
 */
Query *
derive_surgery_over(Oid relid)
{
	Query *query = makeNode(Query);
	RangeTblRef *ref = makeNode(RangeTblRef);
	List *names;
	List *vars;
	ListCell *ln, *lv;

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	ref->rtindex = derive_surgery_add_relation(query, relid, NULL);
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	derive_compat_expand_rte(linitial(query->rtable), 1, &names, &vars);
	forboth (ln, names, lv, vars)
		query->targetList = lappend(query->targetList,
									makeTargetEntry(lfirst(lv),
													list_length(query->targetList) + 1,
													strVal(lfirst(ln)), false));
	return query;
}

/*
 * Analyses text of our own making, in which every name is qualified.
 */
Query *
derive_surgery_parse(const char *sql)
{
	int nest_level = NewGUCNestLevel();
	Query *query;

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	query = parse_analyze_fixedparams(linitial(raw_parser(sql, RAW_PARSE_DEFAULT)), sql,
									  NULL, 0, NULL);
	AtEOXact_GUC(true, nest_level);
	return query;
}

/*
 * Returns NULL of a type.  A domain may allow none where it is written, but does where
 * no row gives a value: that of an array which is itself NULL.
 */
Node *
derive_surgery_null(Oid type, int32 typmod, Oid collation)
{
	SubscriptingRef *element;
	Oid array = get_array_type(type);

	if (get_typtype(type) != TYPTYPE_DOMAIN || !OidIsValid(array))
		return (Node *) makeNullConst(type, typmod, collation);
	element = makeNode(SubscriptingRef);
	element->refcontainertype = array;
	element->refelemtype = element->refrestype = type;
	element->reftypmod = typmod;
	element->refcollid = collation;
	element->refupperindexpr = list_make1(
		makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(1), false, true));
	element->refexpr = (Expr *) makeNullConst(array, typmod, collation);
	return (Node *) element;
}
