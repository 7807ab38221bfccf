/*-------------------------------------------------------------------------
 *
 * cut_correlation.c
 *	  What connects a subquery with the row around it.
 *
 * A subquery is taken apart into equalities "expression of the row = expression k inside"
 * and the rest, which then stands alone; where it depends on the row in any other way, k
 * are the columns of a domain (cut_domain.c).  The rest, with k as its first columns,
 * becomes a stage, which is joined to FROM where k is what the row says.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "parser/parse_oper.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "plan/cut_private.h"
#include "plan/region.h"
#include "plan/surgery.h"

/*
 * True if an operator over an expression of the subquery is the equality by which
 * groups are made.
 */
bool
derive_cut_is_group_equality(OpExpr *op, Node *inner)
{
	TypeCacheEntry *type = lookup_type_cache(exprType(inner),
											 TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
	Oid collation = exprCollation(inner);

	if (!OidIsValid(type->btree_opf) || !OidIsValid(get_commutator(op->opno)) ||
		get_op_opfamily_strategy(op->opno, type->btree_opf) != BTEqualStrategyNumber)
		return false;
	return op->inputcollid == collation || !OidIsValid(op->inputcollid) ||
		   (OidIsValid(collation) && get_collation_isdeterministic(collation) &&
			get_collation_isdeterministic(op->inputcollid));
}

/*
 * Takes a condition as a connection, if it is one.
 */
static bool
take_connection(Correlation *correlation, Node *condition)
{
	OpExpr *op = (OpExpr *) condition;

	if (!IsA(op, OpExpr) || list_length(op->args) != 2)
		return false;
	for (int i = 0; i < 2; i++)
	{
		Node *inner = list_nth(op->args, i);
		Node *outer = copyObject(list_nth(op->args, 1 - i));

		if (derive_surgery_refers_outside(inner, 1) || !contain_vars_of_level(inner, 0) ||
			contain_vars_of_level(outer, 0) || derive_surgery_refers_outside(outer, 2) ||
			checkExprHasSubLink(outer) || checkExprHasSubLink(inner) ||
			!derive_cut_is_group_equality(op, inner))
			continue;
		IncrementVarSublevelsUp(outer, -1, 1);
		correlation->inner = lappend(correlation->inner, copyObject(inner));
		correlation->outer = lappend(correlation->outer, outer);
		correlation->clauses = lappend(correlation->clauses, copyObject(op));
		return true;
	}
	return false;
}

/*
 * Takes a subquery apart; what more than equalities connect is given a domain.  False if
 * it cannot be freed of the query around it.
 */
bool
derive_cut_take_apart(LinkContext *context, Query *sub, Correlation *correlation)
{
	Query *whole = copyObject(sub);
	List *rest = NIL;
	Domain domain;
	ListCell *lc;

	memset(correlation, 0, sizeof(Correlation));
	correlation->sub = sub;
	correlation->witness = 1;
	if (derive_surgery_refers_outside((Node *) sub, 1))
		return false;
	if (!derive_surgery_refers_outside((Node *) sub, 0))
		return true;
	if (sub->setOperations != NULL || sub->hasWindowFuncs || sub->groupClause != NIL ||
		sub->groupingSets != NIL || sub->havingQual != NULL ||
		sub->distinctClause != NIL || sub->hasTargetSRFs)
		return false;
	derive_cut_open(context->cut, sub);
	foreach (lc, make_ands_implicit((Expr *) sub->jointree->quals))
		if (!take_connection(correlation, lfirst(lc)))
			rest = lappend(rest, lfirst(lc));
	sub->jointree->quals = rest == NIL ? NULL : (Node *) make_ands_explicit(rest);
	if (!derive_surgery_refers_outside((Node *) sub, 0))
		return true;

	if (!derive_cut_domain(context->cut, context->query, whole, NULL, &domain))
		return false;
	correlation->sub = whole;
	correlation->inner = domain.columns;
	correlation->outer = domain.outer;
	correlation->clauses = NIL;
	correlation->witness = list_length(domain.columns);
	return true;
}

/* ---------- the stage of a subquery ---------- */

/*
 * Puts the inner sides of the connections before a subquery's columns, and groups by
 * them if it is asked to.
 */
Query *
derive_cut_with_keys(Correlation *correlation, bool group)
{
	Query *query = copyObject(correlation->sub);
	List *targets = NIL;
	Index ref = 1;
	ListCell *lc;

	foreach (lc, query->targetList)
		ref = Max(ref, lfirst_node(TargetEntry, lc)->ressortgroupref + 1);
	foreach (lc, correlation->inner)
	{
		TargetEntry *tle = makeTargetEntry(
			copyObject(lfirst(lc)), list_length(targets) + 1,
			psprintf("k%d", list_length(targets) + 1), false);

		if (group)
		{
			SortGroupClause *clause = makeNode(SortGroupClause);

			tle->ressortgroupref = clause->tleSortGroupRef = ref++;
			get_sort_group_operators(exprType((Node *) tle->expr), false, true, false,
									 &clause->sortop, &clause->eqop, NULL,
									 &clause->hashable);
			query->groupClause = lappend(query->groupClause, clause);
		}
		targets = lappend(targets, tle);
	}
	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		tle->resno = list_length(targets) + 1;
		if (tle->resname == NULL)
			tle->resname = psprintf("v%d", tle->resno);
		targets = lappend(targets, tle);
	}
	query->targetList = targets;
	return query;
}

/*
 * Returns the text of the subquery's rows as q(k1 .. kn, v1 .. vm), sort columns last.
 */
char *
derive_cut_rows_text(Correlation *correlation, int *nvalues)
{
	Query *query = derive_cut_with_keys(correlation, false);
	int nkeys = list_length(correlation->inner);
	StringInfoData sql;
	ListCell *lc;

	query->sortClause = NIL;
	query->limitCount = query->limitOffset = NULL;
	foreach (lc, query->targetList)
	{
		lfirst_node(TargetEntry, lc)->resjunk = false;
		lfirst_node(TargetEntry, lc)->ressortgroupref = 0;
	}
	*nvalues = list_length(query->targetList) - nkeys;
	initStringInfo(&sql);
	appendStringInfo(&sql, "(%s) q(", derive_query_deparse(query, false));
	for (int i = 1; i <= nkeys; i++)
		appendStringInfo(&sql, "%sk%d", i > 1 ? ", " : "", i);
	for (int i = 1; i <= *nvalues; i++)
		appendStringInfo(&sql, "%sv%d", i > 1 || nkeys > 0 ? ", " : "", i);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * Returns "k1, k2, ... kn" with something before and after, or "" for none.
 */
char *
derive_cut_keys_text(Correlation *correlation, const char *before, const char *after)
{
	StringInfoData sql;
	int nkeys = list_length(correlation->inner);

	initStringInfo(&sql);
	for (int i = 1; i <= nkeys; i++)
		appendStringInfo(&sql, "%sq.k%d", i == 1 ? before : ", ", i);
	if (nkeys > 0)
		appendStringInfoString(&sql, after);
	return sql.data;
}

/*
 * Joins a stage, whose first columns are the keys, to FROM on the nullable side, and
 * returns its range table index; compared: a further pair of equal sides, or NULL.
 */
int
derive_cut_join_stage(LinkContext *context, Correlation *correlation, Oid relid,
					  OpExpr *compared, Node *outer)
{
	int index = derive_surgery_add_relation(context->query, relid, NULL);
	RangeTblEntry *rte = rt_fetch(index, context->query->rtable);
	List *quals = NIL;
	Relation relation = table_open(relid, NoLock);
	TupleDesc desc = RelationGetDescr(relation);
	int nkeys = list_length(correlation->inner);

	rte->alias = makeAlias(psprintf("s%d", index), NIL);
	rte->eref->aliasname = rte->alias->aliasname;
	for (int i = 0; i < nkeys + (compared != NULL); i++)
	{
		Node *left = copyObject(i < nkeys ? list_nth(correlation->outer, i) : outer);
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Node *right = (Node *) makeVar(index, i + 1, att->atttypid, att->atttypmod,
									   att->attcollation, 0);
		OpExpr *op;
		Node *first;
		bool inner_first;

		if (i < nkeys && correlation->clauses == NIL)
		{
			quals = derive_cut_add_same(quals, context->query, castNode(Var, right),
										left);
			continue;
		}
		op = copyObject(i < nkeys ? list_nth_node(OpExpr, correlation->clauses, i)
								  : compared);
		first = linitial(op->args);
		inner_first = i < nkeys ? equal(first, list_nth(correlation->inner, i))
								: !equal(first, outer);
		op->args = inner_first ? list_make2(right, left) : list_make2(left, right);
		quals = lappend(quals, op);
	}
	table_close(relation, NoLock);
	derive_surgery_left_join(context->query, index, quals);
	return index;
}

/*
 * Makes a reference to a column of a stage.
 */
Expr *
derive_cut_column(Query *query, int index, int attno)
{
	RangeTblEntry *rte = rt_fetch(index, query->rtable);
	Oid type;
	int32 typmod;
	Oid collation;

	get_atttypetypmodcoll(rte->relid, attno, &type, &typmod, &collation);
	return (Expr *) makeVar(index, attno, type, typmod, collation, 0);
}
