/*-------------------------------------------------------------------------
 *
 * fold.c
 *	  Aggregate stages: what to keep for each group, and the view's rows out of it.
 *
 * An aggregate stage (GROUP BY, aggregates or HAVING) is fed by a linear region
 * whose columns are, in this order,
 *
 *	k1, k2, ...		the group keys,
 *	a1, a2, ...		the inputs: each distinct aggregate argument, ORDER BY
 *					expression within an aggregate, and FILTER.  A FILTER is also part
 *					of the other inputs (CASE WHEN filter THEN argument END), so that
 *					they are not evaluated for rows that it keeps out, as in core.
 *					For count, sum, avg, min and max, which ignore NULLs, that is all
 *					there is of it.
 *
 * The state row of a group is: the keys, "n" (the number of rows), and the state
 * columns.  Aggregates over the same input share columns: count(x), sum(x) and
 * avg(x) need one count and one sum.  An aggregate without inverse is a column of its
 * own, whose value is computed anew from the group's rows whenever the group is touched.
 * The output is the view's target list with aggregates and group expressions replaced
 * by expressions over the state row; the same for HAVING.
 *
 * A query may also mention a column that is not grouped by when the group keys hold
 * the table's primary key.  Such a column becomes a further key of the state: in any
 * one snapshot that makes the same groups, and when the column's value changes, one
 * group dies and another one is born.
 *
 * The result of an aggregate must not only be equal to core's, but look the same:
 *
 *	- avg over exact types is the sum divided by the count, as core itself does it;
 *	- a numeric sum shows as many decimals as the input that has most.  If all inputs
 *	  must have the same number (see scale.c), nothing can happen; else scale_guard;
 *	- a group key whose type has values that are equal and look different is taken
 *	  from the group's rows whenever the group is touched (image_varies).
 *
 * The state columns are made in fold_columns.c.
 *
 * Runs where plans are made; catalog lookups through the syscache only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/typcache.h"

#include "plan/fold.h"
#include "plan/fold_columns.h"
#include "plan/region.h"
#include "plan/scale.h"

/*
 * Fills in a key of a stage out of its expression.  False if its type has no order, or
 * no column can have it; then *why says so.
 */
bool
derive_fold_make_key(FoldKey *key, Node *expression, int number, char **why)
{
	TypeCacheEntry *type;

	key->name = psprintf("k%d", number);
	key->type = exprType(expression);
	key->typmod = exprTypmod(expression);
	key->collation = exprCollation(expression);
	key->nullable = !(IsA(expression, Const) && !((Const *) expression)->constisnull);

	type = lookup_type_cache(key->type, TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
	if (get_typtype(key->type) == TYPTYPE_PSEUDO)
	{
		*why = psprintf("a key has type %s, which cannot be stored",
						format_type_be(key->type));
		return false;
	}
	if (!OidIsValid(type->btree_opf) || !OidIsValid(type->eq_opr))
	{
		*why = psprintf(
			"a key has type %s, which has no default order to look keys up by",
			format_type_be(key->type));
		return false;
	}
	key->eq_op = type->eq_opr;
	key->image_varies = derive_image_may_vary(expression, type, key->collation);
	return true;
}

/*
 * Adds Vars that are neither grouped by nor aggregated to the keys; a walker.
 */
static bool
collect_dependent_walker(Node *node, FoldBuilder *builder)
{
	if (node == NULL || derive_fold_find(builder->keys, node) >= 0)
		return false;
	if (IsA(node, Aggref))
		return collect_dependent_walker((Node *) ((Aggref *) node)->aggdirectargs,
										builder);
	if (IsA(node, Var))
		builder->keys = lappend(builder->keys, node);
	return expression_tree_walker(node, collect_dependent_walker, builder);
}

/*
 * Returns the group expressions, each once.
 */
static List *
group_expressions(Query *query)
{
	List *expressions = NIL;
	ListCell *lc;

	foreach (lc, query->groupClause)
	{
		Node *expression = get_sortgroupclause_expr(lfirst(lc), query->targetList);

		if (derive_fold_find(expressions, expression) < 0)
			expressions = lappend(expressions, expression);
	}
	return expressions;
}

/*
 * Collects the keys: group expressions, then what depends on them.
 */
static void
collect_keys(FoldBuilder *builder)
{
	ListCell *lc;

	builder->keys = group_expressions(builder->query);
	foreach (lc, builder->query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			collect_dependent_walker((Node *) tle->expr, builder);
	}
	collect_dependent_walker(builder->query->havingQual, builder);
}

/*
 * Replaces group expressions and aggregates by expressions over the state row; a
 * mutator.
 */
static Node *
output_mutator(Node *node, FoldBuilder *builder)
{
	int key;

	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref))
		return derive_fold_aggregate(builder, (Aggref *) node);
	key = derive_fold_find(builder->keys, node);
	if (key >= 0)
		return derive_fold_state_var(key + 1, exprType(node), exprTypmod(node),
									 exprCollation(node));
	return expression_tree_mutator(node, output_mutator, builder);
}

/*
 * Makes the target list over the state row, without resjunk columns.
 */
static List *
make_outputs(FoldBuilder *builder)
{
	List *outputs = NIL;
	ListCell *lc;

	foreach (lc, builder->query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Expr *expression;

		if (tle->resjunk)
			continue;
		expression = (Expr *) output_mutator((Node *) tle->expr, builder);
		outputs = lappend(outputs, makeTargetEntry(expression, list_length(outputs) + 1,
												   pstrdup(tle->resname), false));
	}
	return outputs;
}

/*
 * Returns the columns that the region must compute: keys, then inputs.
 */
static List *
make_region_columns(FoldBuilder *builder, Region *region)
{
	List *columns = NIL;
	int number = 1;
	ListCell *lc;

	foreach (lc, builder->keys)
	{
		columns = lappend(
			columns,
			makeTargetEntry((Expr *) derive_region_adopt(region, lfirst(lc)),
							list_length(columns) + 1, psprintf("k%d", number++), false));
	}
	number = 1;
	foreach (lc, builder->inputs)
	{
		columns = lappend(
			columns,
			makeTargetEntry((Expr *) derive_region_adopt(region, lfirst(lc)),
							list_length(columns) + 1, psprintf("a%d", number++), false));
	}
	return columns;
}

/*
 * Says why a fold has its rule, for explain.
 */
static char *
make_why(Stage *stage)
{
	bool extremum = false;
	bool scale = false;

	for (int i = 0; i < stage->nkeys; i++)
	{
		if (stage->keys[i].image_varies)
			return psprintf("equal values of group key %d may look different (type %s), "
							"so each touched group is computed again",
							i + 1, format_type_be(stage->keys[i].type));
	}
	for (int i = 0; i < stage->ncolumns; i++)
	{
		FoldColumn *column = &stage->columns[i];

		if (column->kind == FOLD_VALUE)
			return psprintf(
				"%s%s has no inverse, so each touched group is computed again",
				format_procedure(column->call->aggfnoid),
				column->call->aggdistinct != NIL ? " with DISTINCT" : "");
		extremum |= column->kind == FOLD_MIN || column->kind == FOLD_MAX;
		scale |= column->scale_guard;
	}
	if (extremum)
		return pstrdup("changes are added and subtracted; a group is computed again only "
					   "when its least or greatest value leaves");
	if (scale)
		return pstrdup("changes are added and subtracted; a group is computed again only "
					   "when a value with the most decimals leaves");
	return pstrdup("changes are added to and subtracted from the groups");
}

/*
 * Moves the builder's columns into the stage.  False if no table can have one; then *why
 * says so.
 */
static bool
take_columns(FoldBuilder *builder, Stage *stage, char **why)
{
	ListCell *lc;

	stage->ncolumns = list_length(builder->columns);
	stage->columns = palloc0_array(FoldColumn, stage->ncolumns);
	foreach (lc, builder->columns)
	{
		FoldColumn *column = (FoldColumn *) lfirst(lc);

		if (get_typtype(column->type) == TYPTYPE_PSEUDO)
		{
			*why = psprintf("%s gives type %s, which cannot be stored",
							format_procedure(column->call->aggfnoid),
							format_type_be(column->type));
			return false;
		}
		stage->columns[foreach_current_index(lc)] = *column;
		stage->always_recompute |= column->kind == FOLD_VALUE;
	}
	return true;
}

/*
 * Makes the aggregate stage of a query whose shape allows it, and gives the region its
 * columns.  NULL if types do not allow it; then *why says so.
 */
Stage *
derive_fold_make(Query *query, Region *region, char **why)
{
	FoldBuilder builder = {.query = query};
	Stage *stage = palloc0_object(Stage);
	ListCell *lc;

	collect_keys(&builder);
	if (list_length(builder.keys) > INDEX_MAX_KEYS)
	{
		*why = psprintf("its groups have %d keys, by which no index can find them",
						list_length(builder.keys));
		return NULL;
	}
	stage->kind = STAGE_FOLD;
	stage->region = region;
	stage->outputs = make_outputs(&builder);
	stage->having = output_mutator(query->havingQual, &builder);
	region->columns = make_region_columns(&builder, region);

	stage->nkeys = list_length(builder.keys);
	stage->keys = palloc0_array(FoldKey, stage->nkeys);
	foreach (lc, builder.keys)
	{
		int i = foreach_current_index(lc);

		if (!derive_fold_make_key(&stage->keys[i], lfirst(lc), i + 1, why))
			return NULL;
		stage->always_recompute |= stage->keys[i].image_varies;
	}
	if (!take_columns(&builder, stage, why))
		return NULL;
	stage->rule = stage->always_recompute ? RULE_AFFECTED_KEYS : RULE_ALGEBRA;
	stage->why = make_why(stage);
	return stage;
}

/*
 * True if a touched group may have to be computed again from the sources, apart from
 * the rare case of NaN and infinity.
 */
bool
derive_fold_may_recompute(Stage *stage)
{
	bool result = stage->always_recompute;

	for (int i = 0; i < stage->ncolumns; i++)
	{
		FoldColumn *column = &stage->columns[i];

		result |= column->kind != FOLD_COUNT && column->kind != FOLD_SUM;
		result |= column->scale_guard;
	}
	return result;
}

/*
 * Returns the output columns that identify a row: one for each group expression, or
 * NIL if some group expression is not in the output.
 */
List *
derive_fold_view_key(Query *query, Stage *stage)
{
	List *key = NIL;

	for (int i = 0; i < list_length(group_expressions(query)); i++)
	{
		AttrNumber found = InvalidAttrNumber;
		ListCell *lc;

		foreach (lc, stage->outputs)
		{
			TargetEntry *tle = lfirst_node(TargetEntry, lc);

			if (found == InvalidAttrNumber && IsA(tle->expr, Var) &&
				((Var *) tle->expr)->varattno == i + 1)
				found = tle->resno;
		}
		if (found == InvalidAttrNumber)
			return NIL;
		key = lappend_int(key, found);
	}
	return key;
}
