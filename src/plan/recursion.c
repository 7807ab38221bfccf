/*-------------------------------------------------------------------------
 *
 * recursion.c
 *	  Recursive WITH queries, followed while rows only arrive.
 *
 * Let the query be
 *
 *		R = B UNION [ALL] T(R)
 *
 * where B and T are selections, projections and inner joins of sources, also with
 * EXISTS, and T has the recursive name once.  Then T is linear: T(X + Y) = T(X) + T(Y), as
 * multisets, and more rows in the sources make more rows in the result.  Write B', T', R'
 * for what they are after rows have arrived.
 *
 * UNION ALL.  With N = R' - R and T'(R') = T'(R) + T'(N),
 *
 *		N = (B' - B) + (T'(R) - T(R)) + T'(N)
 *
 * The first two are deltas of regions by algebra.c, in which R, what is stored, is a table
 * that does not change: the seeds.  So N is the recursive query
 *
 *		fresh = seeds UNION ALL T'(fresh)
 *
 * The seeds have signs, because the content of a source before its delta is written as a
 * difference; a sign goes with each row through T', and rows are summed up by image at the
 * end.  Each row of a term, whatever its sign, is one that the query itself derives from
 * the sources as they are now, so fresh ends if the query does.  (With rows that leave this
 * would not be so: a cycle that the query does not reach might be reached from what has left.)
 *
 * UNION.  R is the least set with B <= R and T(R) <= R.  N = R' \ R is found by
 *
 *		fresh = seeds \ R UNION T'(fresh) \ R
 *
 * where the seeds may be all rows of the terms that have a positive sign: each is in R',
 * and those that are new in B' or T'(R) are among them.  What R has is looked up by the
 * index on the hash of the stored rows.  UNION keeps one of several equal rows, and where
 * equal values may look different which one is a matter of order; so for columns of such
 * types there is no rule.
 *
 * When a row leaves a source, what it alone has supported would have to be told from what
 * has other support: then the stage is recomputed, as is any other.  So is a recursion with
 * anything else in it, see the obstacles below.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "change/layout.h"
#include "plan/algebra.h"
#include "plan/analyze.h"
#include "plan/classify.h"
#include "plan/recursion.h"
#include "plan/region.h"
#include "plan/scale.h"
#include "plan/sql.h"

/* The CTE of the rows that are new. */
#define FRESH "fresh"

/* The parts of a recursive query. */
typedef struct Recursion
{
	bool all;	   /* UNION ALL */
	List *bases;   /* of Region: the branches of the non-recursive term */
	Region *term;  /* the recursive term */
	int self;	   /* the occurrence of the recursive name in it */
	List *columns; /* of the recursive name: its columns' names (String) */
} Recursion;

/* ---------- what is in the query ---------- */

/*
 * Returns the recursive WITH query whose rows a query is, or NULL.
 */
static CommonTableExpr *
find_recursive(Query *query)
{
	CommonTableExpr *cte;
	RangeTblRef *ref;
	ListCell *lc;

	if (list_length(query->cteList) != 1 || query->setOperations != NULL ||
		list_length(query->jointree->fromlist) != 1 || query->jointree->quals != NULL ||
		query->hasAggs || query->hasWindowFuncs || query->groupClause != NIL ||
		query->distinctClause != NIL || query->limitCount != NULL ||
		query->limitOffset != NULL)
		return NULL;
	cte = linitial_node(CommonTableExpr, query->cteList);
	ref = linitial(query->jointree->fromlist);
	if (!cte->cterecursive || !IsA(ref, RangeTblRef) ||
		rt_fetch(ref->rtindex, query->rtable)->rtekind != RTE_CTE ||
		list_length(query->targetList) != list_length(cte->ctecolnames))
		return NULL;
	foreach (lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Var *var = (Var *) tle->expr;

		if (tle->resjunk || !IsA(var, Var) || var->varno != ref->rtindex ||
			var->varattno != tle->resno)
			return NULL;
	}
	return cte;
}

/*
 * True if a query is the rows of a recursive WITH query, see recursion.h.
 */
bool
derive_recursion_is(Query *query)
{
	return find_recursive(query) != NULL;
}

/*
 * Returns the query of a leaf of a set operation.
 */
static Query *
leaf_query(Query *query, Node *leaf)
{
	return rt_fetch(castNode(RangeTblRef, leaf)->rtindex, query->rtable)->subquery;
}

/*
 * Returns what keeps a branch from being a region, or NULL.
 */
static const char *
branch_obstacle(Query *branch)
{
	const char *obstacle;
	StageKind kind;

	if (branch->setOperations != NULL)
		return "a set operation in a branch of a recursive query";
	kind = derive_classify_block(branch, &obstacle);
	if (kind == STAGE_LINEAR || kind == STAGE_RECOMPUTE)
		return obstacle;
	return "groups, windows, DISTINCT or LIMIT in a branch of a recursive query";
}

/*
 * Returns what keeps the non-recursive term from being a UNION of regions, or NULL.
 */
static const char *
base_obstacle(Query *query, Node *node, bool all)
{
	SetOperationStmt *op = (SetOperationStmt *) node;
	const char *obstacle;

	if (!IsA(node, SetOperationStmt))
		return branch_obstacle(leaf_query(query, node));
	if (op->op != SETOP_UNION || (all && !op->all))
		return "a set operation in a branch of a recursive query";
	obstacle = base_obstacle(query, op->larg, all);
	return obstacle ? obstacle : base_obstacle(query, op->rarg, all);
}

/*
 * True if equal values of a column of a WITH query may look different.
 */
static bool
column_varies(CommonTableExpr *cte, int i)
{
	Var *var = makeVar(1, i + 1, list_nth_oid(cte->ctecoltypes, i),
					   list_nth_int(cte->ctecoltypmods, i),
					   list_nth_oid(cte->ctecolcollations, i), 0);
	TypeCacheEntry *type = lookup_type_cache(var->vartype,
											 TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);

	return !OidIsValid(type->btree_opf) ||
		   derive_image_may_vary((Node *) var, type, var->varcollid);
}

/*
 * True if some expression of a query has a recursive name's row as a whole in it; a walker.
 */
static bool
whole_row_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varattno == InvalidAttrNumber;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, whole_row_walker, context, 0);
	return expression_tree_walker(node, whole_row_walker, context);
}

/*
 * Returns what keeps a recursive query's rows from being followed, see recursion.h.
 */
const char *
derive_recursion_obstacle(Query *query)
{
	CommonTableExpr *cte = find_recursive(query);
	Query *body = castNode(Query, cte->ctequery);
	SetOperationStmt *top = (SetOperationStmt *) body->setOperations;
	const char *obstacle;

	if (cte->search_clause != NULL || cte->cycle_clause != NULL)
		return "SEARCH or CYCLE";
	if (body->cteList != NIL)
		return "WITH in a recursive query";
	if (top == NULL || !IsA(top, SetOperationStmt) || top->op != SETOP_UNION)
		return "a recursive query without UNION";
	if (!IsA(top->rarg, RangeTblRef))
		return "a set operation in a recursive term";
	for (int i = 0; i < list_length(cte->ctecolnames) && !top->all; i++)
		if (column_varies(cte, i))
			return "a recursive UNION of values that may be equal and look different";
	obstacle = base_obstacle(body, top->larg, top->all);
	if (obstacle == NULL)
		obstacle = branch_obstacle(leaf_query(body, top->rarg));
	if (obstacle == NULL && whole_row_walker((Node *) leaf_query(body, top->rarg), NULL))
		obstacle = "a reference to a whole row";
	return obstacle;
}

/* ---------- the stage ---------- */

/*
 * True if the rows of a node can only become more when those of its tables do.
 */
static bool
is_monotone(RegionNode *node)
{
	ListCell *lc;

	if (node->kind != NODE_LEAF && node->kind != NODE_INNER && node->kind != NODE_SEMI)
		return false;
	foreach (lc, node->children)
		if (!is_monotone(lfirst(lc)))
			return false;
	return true;
}

/*
 * Gives the columns of a branch the types of the WITH query's.
 */
static void
coerce_columns(Query *branch, CommonTableExpr *cte)
{
	ListCell *lc;

	foreach (lc, branch->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Oid from = exprType((Node *) tle->expr);
		Oid to;

		if (tle->resjunk)
			continue;
		to = list_nth_oid(cte->ctecoltypes, tle->resno - 1);
		if (from != to)
			tle->expr = (Expr *) coerce_to_target_type(
				NULL, (Node *) tle->expr, from, to,
				list_nth_int(cte->ctecoltypmods, tle->resno - 1), COERCION_IMPLICIT,
				COERCE_EXPLICIT_CAST, -1);
	}
}

/*
 * True if a query's rows can be a branch, see recursion.h.
 */
bool
derive_recursion_takes(Query *branch)
{
	ViewPlan plan = {0};
	Region *region;
	char *why;

	if (branch_obstacle(branch) != NULL)
		return false;
	region = derive_analyze_branch(&plan, copyObject(branch), "", &why);
	return region != NULL && is_monotone(region->root);
}

/*
 * Makes the region of a branch.  NULL if that cannot be; then *why says so.
 */
static Region *
make_branch(ViewPlan *plan, CommonTableExpr *cte, Query *branch, char *name, char **why)
{
	Region *region;

	coerce_columns(branch, cte);
	region = derive_analyze_branch(plan, branch, name, why);
	if (region == NULL || is_monotone(region->root))
		return region;
	*why = pstrdup("an outer join or NOT EXISTS in a recursive query cannot be followed "
				   "change by change");
	return NULL;
}

/*
 * Makes the regions of the non-recursive term.  False if one cannot be made.
 */
static bool
make_bases(ViewPlan *plan, CommonTableExpr *cte, Node *node, char **why)
{
	Recursion *recursion = plan->stage->recursion;
	Region *region;

	if (IsA(node, SetOperationStmt))
		return make_bases(plan, cte, ((SetOperationStmt *) node)->larg, why) &&
			   make_bases(plan, cte, ((SetOperationStmt *) node)->rarg, why);
	region = make_branch(plan, cte, leaf_query((Query *) cte->ctequery, node),
						 psprintf("b%d_", list_length(recursion->bases) + 1), why);
	recursion->bases = lappend(recursion->bases, region);
	return region != NULL;
}

/*
 * Makes the stage of a recursive query, see recursion.h.
 */
bool
derive_recursion_make(ViewPlan *plan, Query *query, char **why)
{
	CommonTableExpr *cte = find_recursive(query);
	Query *body = (Query *) cte->ctequery;
	SetOperationStmt *top = castNode(SetOperationStmt, body->setOperations);
	Recursion *recursion = palloc0_object(Recursion);
	ListCell *lc;

	plan->stage = palloc0_object(Stage);
	plan->stage->kind = STAGE_RECURSION;
	plan->stage->rule = RULE_RECURSION;
	plan->stage->why = pstrdup(
		"while rows only arrive, what they and the stored rows lead to is added; when "
		"rows leave, all is computed again");
	plan->stage->recursion = recursion;
	recursion->all = top->all;
	recursion->columns = cte->ctecolnames;
	if (!make_bases(plan, cte, top->larg, why))
		return false;
	recursion->term = make_branch(plan, cte, leaf_query(body, top->rarg), "r_", why);
	if (recursion->term == NULL)
		return false;
	for (int i = 1; i <= recursion->term->noccurrences; i++)
		if (recursion->term->occurrences[i - 1].rte->rtekind == RTE_CTE)
			recursion->self = i;
	foreach (lc, recursion->bases)
		derive_region_note_columns(lfirst(lc), plan->sources);
	derive_region_note_columns(recursion->term, plan->sources);
	return true;
}

/*
 * True if a recursive query can be followed, see recursion.h.
 */
bool
derive_recursion_is_followed(Query *query)
{
	ViewPlan plan = {0};
	char *why;

	return derive_recursion_obstacle(query) == NULL &&
		   derive_recursion_make(&plan, copyObject(query), &why);
}

/*
 * Returns the number of the stage's columns.
 */
int
derive_recursion_ncolumns(Stage *stage)
{
	return list_length(stage->recursion->columns);
}

/* ---------- its SQL ---------- */

/*
 * Makes the entry of the table in which the stage's rows are stored.
 */
static RangeTblEntry *
make_stored_rte(Oid relid)
{
	Relation relation = table_open(relid, NoLock);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List *names = NIL;

	for (int i = 0; i < RelationGetNumberOfAttributes(relation); i++)
		names = lappend(
			names, makeString(pstrdup(
					   NameStr(TupleDescAttr(RelationGetDescr(relation), i)->attname))));
	rte->rtekind = RTE_RELATION;
	rte->relid = relid;
	rte->relkind = relation->rd_rel->relkind;
	rte->rellockmode = AccessShareLock;
	rte->eref = makeAlias(RelationGetRelationName(relation), names);
	rte->inFromCl = true;
	table_close(relation, NoLock);
	return rte;
}

/*
 * Returns the recursive term's region over the stored rows.
 */
static Region *
term_over_stored(ViewPlan *plan)
{
	Recursion *recursion = plan->stage->recursion;
	Region *region = palloc_object(Region);
	Size size = sizeof(Occurrence) * recursion->term->noccurrences;

	*region = *recursion->term;
	region->occurrences = palloc(size);
	memcpy(region->occurrences, recursion->term->occurrences, size);
	region->occurrences[recursion->self - 1].rte = make_stored_rte(plan->view);
	return region;
}

/*
 * Returns the regions of the stage, see recursion.h.
 */
List *
derive_recursion_regions(ViewPlan *plan)
{
	Recursion *recursion = plan->stage->recursion;

	return lappend(list_copy(recursion->bases),
				   OidIsValid(plan->view) ? term_over_stored(plan) : recursion->term);
}

/*
 * Returns "prefix1, prefix2, ..." for the stage's columns.
 */
static char *
numbered(Recursion *recursion, const char *prefix)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 1; i <= list_length(recursion->columns); i++)
		appendStringInfo(&sql, "%s%s%d", i > 1 ? ", " : "", prefix, i);
	return sql.data;
}

/*
 * Returns the stage's columns by the names that the recursive name has them under.
 */
static char *
named(Recursion *recursion)
{
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, recursion->columns)
		appendStringInfo(&sql, "%s%s", sql.len > 0 ? ", " : "",
						 quote_identifier(strVal(lfirst(lc))));
	return sql.data;
}

/*
 * Returns the recursive term over the rows that are new, which UNION ALL gives a sign.
 */
static char *
term_over_fresh(Recursion *recursion, bool pretty)
{
	int varno = recursion->term->occurrences[recursion->self - 1].varno;
	Query *query = derive_region_select(recursion->term);
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	int sign = list_length(recursion->columns) + 1;

	rte->ctename = FRESH;
	rte->eref->colnames = lappend(rte->eref->colnames,
								  makeString(pstrdup(DERIVE_SIGN_COLUMN)));
	if (recursion->all)
		query->targetList = lappend(
			query->targetList,
			makeTargetEntry((Expr *) makeVar(varno, sign, INT4OID, -1, InvalidOid, 0),
							sign, DERIVE_SIGN_COLUMN, false));
	return derive_query_deparse(query, pretty);
}

/*
 * Returns the column that stands before the hash in the index by which stored rows are
 * found, or 0.
 */
static AttrNumber
column_before_hash(Oid relid)
{
	Relation relation = table_open(relid, NoLock);
	AttrNumber found = InvalidAttrNumber;
	ListCell *lc;

	foreach (lc, RelationGetIndexList(relation))
	{
		Relation index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if (form->indnkeyatts == 2 && form->indkey.values[1] == InvalidAttrNumber)
			found = form->indkey.values[0];
		index_close(index, AccessShareLock);
	}
	table_close(relation, NoLock);
	return found;
}

/*
 * Returns the condition that a row "d" is not among those stored for which another
 * condition holds.  OFFSET lets core look for each row by the index: it cannot make a join
 * of it.
 */
static char *
not_among(ViewPlan *plan, const char *condition)
{
	char *row = psprintf("ROW(%s)", numbered(plan->stage->recursion, "d.c"));

	return psprintf("NOT EXISTS (SELECT 1 FROM ONLY %s stored\n"
					"  WHERE %sderive_state.row_hash(stored.*) OPERATOR(pg_catalog.=) "
					"derive_state.row_hash(%s)\n"
					"    AND derive_state.row_image(stored.*) OPERATOR(pg_catalog.=) "
					"derive_state.row_image(%s) OFFSET 0)",
					derive_relation_name(plan->view), condition, row, row);
}

/*
 * Returns the condition that a row "d" is not among those stored, such that the index
 * serves, be it for NULL.
 */
static char *
not_stored(ViewPlan *plan)
{
	AttrNumber attno = column_before_hash(plan->view);
	char *stored, *own;
	Oid equal;

	if (attno == InvalidAttrNumber)
		return not_among(plan, "");
	stored = psprintf("stored.%s",
					  quote_identifier(get_attname(plan->view, attno, false)));
	own = psprintf("d.c%d", attno);
	equal = lookup_type_cache(get_atttype(plan->view, attno), TYPECACHE_EQ_OPR)->eq_opr;
	return psprintf(
		"CASE WHEN %s IS NULL THEN %s\nELSE %s END", own,
		not_among(plan, psprintf("%s IS NULL AND ", stored)),
		not_among(plan, psprintf("%s AND ", derive_sql_equality(equal, stored, own))));
}

/*
 * Makes the seeds: returns the terms of the deltas of all branches that changed, and adds
 * to ctes what they need.
 */
static char *
seed_terms(ViewPlan *plan, Bitmapset *changed, bool pretty, List **ctes)
{
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, derive_recursion_regions(plan))
	{
		char *terms;

		if (!derive_sql_reads(lfirst(lc), changed))
			continue;
		*ctes = derive_algebra_collect(*ctes, lfirst(lc), plan->sources, changed, pretty,
									   &terms);
		appendStringInfo(&sql, "\nUNION ALL\n%s", terms);
	}
	return sql.data;
}

/*
 * Makes the query for the new rows, see recursion.h.  The seeds begin with no rows of the
 * stored table, so that they have its types.
 */
void
derive_recursion_delta(ViewPlan *plan, Bitmapset *changed, bool pretty, char **with,
					   char **terms)
{
	Recursion *recursion = plan->stage->recursion;
	List *ctes = NIL;
	char *seeds = seed_terms(plan, changed, pretty, &ctes);
	char *term = term_over_fresh(recursion, pretty);
	char *columns = numbered(recursion, "d.c");
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "WITH RECURSIVE ");
	foreach (lc, ctes)
		appendStringInfo(&sql, "%s, ", (char *) lfirst(lc));
	appendStringInfo(&sql, FRESH "(%s%s) AS (\n", named(recursion),
					 recursion->all ? ", \"" DERIVE_SIGN_COLUMN "\"" : "");
	appendStringInfo(&sql,
					 "SELECT %s%s\nFROM (\n SELECT 0, stored.* FROM ONLY %s stored WHERE "
					 "false%s) d(\"" DERIVE_SIGN_COLUMN "\", %s)",
					 columns, recursion->all ? ", d.\"" DERIVE_SIGN_COLUMN "\"" : "",
					 derive_relation_name(plan->view), seeds, numbered(recursion, "c"));
	if (recursion->all)
		appendStringInfo(&sql, "\nUNION ALL\n%s", term);
	else
		appendStringInfo(&sql,
						 "\nWHERE d.\"" DERIVE_SIGN_COLUMN "\" > 0 AND %s\nUNION\n"
						 "SELECT %s FROM (\n%s) d(%s)\nWHERE %s",
						 not_stored(plan), columns, term, numbered(recursion, "c"),
						 not_stored(plan));
	appendStringInfoString(&sql, ")\n");
	*with = sql.data;
	*terms = psprintf("SELECT %s, %s FROM " FRESH,
					  recursion->all ? "\"" DERIVE_SIGN_COLUMN "\"" : "1",
					  named(recursion));
}
