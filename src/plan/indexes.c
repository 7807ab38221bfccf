/*-------------------------------------------------------------------------
 *
 * indexes.c
 *	  What the sources' indexes say: which columns identify a row of a join, and
 *	  which indexes are missing.
 *
 * A row of a join is identified by the keys of the joined rows.  Not all are needed:
 * in "orders JOIN customers ON customers.id = orders.customer_id" the order
 * determines its customer, because it gives a value to each column of the
 * customer's key.  So the view's key is made of the keys of as few occurrences as
 * determine all others by equalities.
 *
 * Where rows may lack a partner, its key is NULL, which is a value like others: an
 * index over a view's key treats NULLs as equal.  What an outer join's condition says:
 * the rows of its left side determine those of the right one, or that there is none;
 * never the other way round.  In a full join neither side determines the other, each
 * side's key must be one that is never NULL by itself, and constants determine
 * nothing.  EXISTS does not change which columns identify a row.  A function or VALUES
 * in FROM, or a set-returning function among the columns: no key.
 *
 * A key is a primary key, or a unique index that treats NULLs as equal (such as the
 * ones of derived views).  A unique index over columns that are merely NOT NULL now
 * does not count, and neither does one that is deferrable, partial, over
 * expressions, or not valid.
 *
 * Opens the sources without locking; the caller holds locks on them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "plan/first.h"
#include "plan/fold.h"
#include "plan/indexes.h"
#include "plan/recursion.h"
#include "plan/sources.h"

/* One side of an equality condition. */
typedef struct EqualitySide
{
	int occurrence;	  /* counted from 1; 0: a constant */
	AttrNumber attno; /* InvalidAttrNumber: an expression */
	Oid collation;	  /* of the column */
	Node *expression; /* a Var, or an expression over columns of this occurrence, whose
					   * number is 1 in it, as in the expressions of an index */
} EqualitySide;

/*
 * A condition of a region that compares columns, expressions over the columns of one
 * occurrence, or a constant.
 */
typedef struct Equality
{
	EqualitySide sides[2];
	Oid operator;
	Oid collation;
	bool inner;				 /* holds in every row in which neither side is missing */
	Bitmapset *determinable; /* occurrences that it may give a value to */
} Equality;

/* The key of an occurrence's source: parallel arrays. */
typedef struct SourceKey
{
	int ncolumns; /* 0: none */
	bool primary;
	AttrNumber attnos[INDEX_MAX_KEYS];
	Oid opfamilies[INDEX_MAX_KEYS];
	Oid collations[INDEX_MAX_KEYS];
} SourceKey;

/*
 * Returns a copy of an expression over the columns of one occurrence as it would be in
 * an index.
 */
static Node *
as_in_index(Node *node)
{
	ListCell *lc;

	node = copyObject(node);
	foreach (lc, pull_var_clause(node, 0))
	{
		Var *var = lfirst_node(Var, lc);

		var->varno = var->varnosyn = 1;
		var->varattnosyn = var->varattno;
	}
	return node;
}

/*
 * Reads one side of an equality.  False if it is neither a constant nor an expression
 * over columns of one occurrence.
 */
static bool
read_side(Node *node, EqualitySide *side)
{
	node = derive_index_strip(node);
	side->occurrence = 0;
	side->attno = InvalidAttrNumber;
	side->collation = InvalidOid;
	if (IsA(node, Const))
		return !((Const *) node)->constisnull;
	if (contain_subplans(node) || expression_returns_set(node) ||
		!bms_get_singleton_member(pull_varnos(NULL, node), &side->occurrence))
		return false;
	if (IsA(node, Var))
	{
		side->attno = ((Var *) node)->varattno;
		side->collation = ((Var *) node)->varcollid;
	}
	side->expression = as_in_index(node);
	return true;
}

/*
 * Adds the equalities of a condition to a list of Equality.
 */
static List *
collect_equalities(List *equalities, Node *qual)
{
	if (is_andclause(qual))
	{
		ListCell *lc;

		foreach (lc, ((BoolExpr *) qual)->args)
			equalities = collect_equalities(equalities, lfirst(lc));
	}
	else if (is_opclause(qual) && list_length(((OpExpr *) qual)->args) == 2)
	{
		OpExpr *op = (OpExpr *) qual;
		Equality *equality = palloc0_object(Equality);

		equality->operator= op->opno;
		equality->collation = op->inputcollid;
		if (read_side(linitial(op->args), &equality->sides[0]) &&
			read_side(lsecond(op->args), &equality->sides[1]))
			equalities = lappend(equalities, equality);
	}
	return equalities;
}

/*
 * True if an equality has a constant on one side.
 */
static bool
has_constant(Equality *equality)
{
	return equality->sides[0].occurrence == 0 || equality->sides[1].occurrence == 0;
}

/*
 * Returns the "column = column" and "column = constant" conditions of a node and those
 * below it, and other operators between such, which is for the users of the list to
 * tell apart.  hidden: whether to go inside EXISTS; full: whether the node is below a
 * full join.
 */
static List *
node_equalities(RegionNode *node, bool hidden, bool full)
{
	bool exists = node->kind == NODE_SEMI || node->kind == NODE_ANTI;
	List *own = NIL;
	List *equalities = NIL;
	ListCell *lc;

	foreach (lc, node->quals)
		own = collect_equalities(own, lfirst(lc));
	foreach (lc, own)
	{
		Equality *equality = (Equality *) lfirst(lc);

		equality->inner = node->kind == NODE_INNER;
		if (full && has_constant(equality))
			continue;
		if (node->kind == NODE_INNER)
			equality->determinable = node->visible;
		else if (node->kind == NODE_LEFT)
			equality->determinable = ((RegionNode *) lsecond(node->children))->visible;
		if (!exists || hidden)
			equalities = lappend(equalities, equality);
	}
	foreach (lc, node->children)
	{
		if (!exists || hidden || foreach_current_index(lc) == 0)
			equalities = list_concat(
				equalities,
				node_equalities(lfirst(lc), hidden, full || node->kind == NODE_FULL));
	}
	return equalities;
}

/*
 * Returns the occurrences below a full join.
 */
static Bitmapset *
fully_joined(RegionNode *node)
{
	Bitmapset *result = NULL;
	ListCell *lc;

	if (node->kind == NODE_FULL)
		return bms_copy(node->members);
	foreach (lc, node->children)
		result = bms_join(result, fully_joined(lfirst(lc)));
	return result;
}

/*
 * True if an index identifies the rows of its table.
 */
static bool
index_identifies(Relation index, bool primary)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisvalid || !form->indimmediate || !form->indisunique ||
		RelationGetIndexPredicate(index) != NIL ||
		RelationGetIndexExpressions(index) != NIL)
		return false;
	return primary ? form->indisprimary : form->indnullsnotdistinct;
}

/*
 * Reads the key columns of an index.
 */
static void
read_source_key(Relation index, SourceKey *key)
{
	key->ncolumns = IndexRelationGetNumberOfKeyAttributes(index);
	for (int i = 0; i < key->ncolumns; i++)
	{
		key->attnos[i] = index->rd_index->indkey.values[i];
		key->opfamilies[i] = index->rd_opfamily[i];
		key->collations[i] = index->rd_indcollation[i];
	}
}

/*
 * Finds the key of a relation: its primary key, else another one, see the head of
 * this file.  With inheritance children it has none: each of them has its own.
 */
static void
find_source_key(RangeTblEntry *rte, SourceKey *key)
{
	Relation relation = table_open(rte->relid, NoLock);
	List *indexes = RelationGetIndexList(relation);

	key->ncolumns = 0;
	if (derive_sources_is_tree(rte))
		indexes = NIL;
	for (int pass = 0; pass < 2 && key->ncolumns == 0; pass++)
	{
		ListCell *lc;

		foreach (lc, indexes)
		{
			Relation index = index_open(lfirst_oid(lc), AccessShareLock);

			if (key->ncolumns == 0 && index_identifies(index, pass == 0))
			{
				read_source_key(index, key);
				key->primary = pass == 0;
			}
			index_close(index, AccessShareLock);
		}
	}
	table_close(relation, NoLock);
}

/*
 * Returns the output attno of a column of an occurrence, or InvalidAttrNumber; also for
 * InvalidAttrNumber, which is no column.
 */
static AttrNumber
find_output(Region *region, int occurrence, AttrNumber attno)
{
	ListCell *lc;

	if (attno == InvalidAttrNumber)
		return InvalidAttrNumber;
	foreach (lc, region->columns)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Var *var = (Var *) tle->expr;

		if (IsA(var, Var) && var->varno == occurrence && var->varattno == attno)
			return tle->resno;
	}
	return InvalidAttrNumber;
}

/*
 * True if an operator and collation are the equality by which an index tells keys
 * apart in one of its columns.
 */
static bool
is_key_equality(Equality *equality, const SourceKey *key, int column)
{
	return get_op_opfamily_strategy(equality->operator, key->opfamilies[column]) ==
			   BTEqualStrategyNumber &&
		   equality->collation == key->collations[column];
}

/*
 * Returns the output attno of a key column of an occurrence, or of a column that a
 * condition makes equal to it; InvalidAttrNumber if there is none.
 */
static AttrNumber
find_key_output(Region *region, List *equalities, int occurrence, const SourceKey *key,
				int column)
{
	AttrNumber attno = find_output(region, occurrence, key->attnos[column]);
	ListCell *lc;

	foreach (lc, equalities)
	{
		Equality *equality = (Equality *) lfirst(lc);

		for (int i = 0; i < 2 && attno == InvalidAttrNumber; i++)
		{
			EqualitySide *side = &equality->sides[i];
			EqualitySide *other = &equality->sides[1 - i];

			if (equality->inner && side->occurrence == occurrence &&
				side->attno == key->attnos[column] && other->occurrence > 0 &&
				other->collation == key->collations[column] &&
				is_key_equality(equality, key, column))
				attno = find_output(region, other->occurrence, other->attno);
		}
	}
	return attno;
}

/*
 * True if the output has all key columns of an occurrence.
 */
static bool
key_is_output(Region *region, List *equalities, int occurrence, const SourceKey *key)
{
	for (int i = 0; i < key->ncolumns; i++)
	{
		if (find_key_output(region, equalities, occurrence, key, i) == InvalidAttrNumber)
			return false;
	}
	return key->ncolumns > 0;
}

/*
 * True if an equality gives a value to a key column, once the occurrences in known
 * are determined.
 */
static bool
equality_determines(Equality *equality, int occurrence, const SourceKey *key, int column,
					Bitmapset *known)
{
	if (!is_key_equality(equality, key, column) ||
		!bms_is_member(occurrence, equality->determinable))
		return false;
	for (int i = 0; i < 2; i++)
	{
		EqualitySide *side = &equality->sides[i];
		EqualitySide *other = &equality->sides[1 - i];

		if (side->occurrence == occurrence && side->attno == key->attnos[column] &&
			(other->occurrence == 0 || bms_is_member(other->occurrence, known)))
			return true;
	}
	return false;
}

/*
 * True if equalities give a value to each key column of an occurrence.
 */
static bool
is_determined(List *equalities, int occurrence, const SourceKey *key, Bitmapset *known)
{
	for (int i = 0; i < key->ncolumns; i++)
	{
		bool found = false;
		ListCell *lc;

		foreach (lc, equalities)
			found |= equality_determines(lfirst(lc), occurrence, key, i, known);
		if (!found)
			return false;
	}
	return key->ncolumns > 0;
}

/*
 * True if the rows of the chosen occurrences determine those of all that are visible.
 */
static bool
determines_all(Region *region, List *equalities, const SourceKey *keys, Bitmapset *chosen)
{
	Bitmapset *known = bms_copy(chosen);
	int before;

	do
	{
		int i = -1;

		before = bms_num_members(known);
		while ((i = bms_next_member(region->root->visible, i)) >= 0)
		{
			if (is_determined(equalities, i, &keys[i - 1], known))
				known = bms_add_member(known, i);
		}
	} while (bms_num_members(known) > before);
	return bms_equal(known, region->root->visible);
}

/*
 * Finds the keys of all visible occurrences.  False if one of them cannot have any.
 */
static bool
find_keys(Region *region, SourceKey *keys)
{
	Bitmapset *full = fully_joined(region->root);
	int i = -1;

	while ((i = bms_next_member(region->root->visible, i)) >= 0)
	{
		if (region->occurrences[i - 1].source < 0)
			return false;
		find_source_key(region->occurrences[i - 1].rte, &keys[i - 1]);
		if (bms_is_member(i, full) && !keys[i - 1].primary)
			return false;
	}
	return true;
}

/*
 * Returns the output columns that identify a row of a region whose columns are the
 * view's, as a list of attnos; NIL if there are none such.
 */
List *
derive_region_view_key(Region *region)
{
	SourceKey *keys = palloc0_array(SourceKey, region->noccurrences);
	List *equalities = node_equalities(region->root, false, false);
	Bitmapset *chosen = NULL;
	List *key = NIL;
	int i = -1;

	if (expression_returns_set((Node *) region->columns) || !find_keys(region, keys))
		return NIL;
	while ((i = bms_next_member(region->root->visible, i)) >= 0)
	{
		if (key_is_output(region, equalities, i, &keys[i - 1]))
			chosen = bms_add_member(chosen, i);
	}
	if (!determines_all(region, equalities, keys, chosen))
		return NIL;

	for (i = region->noccurrences; i >= 1; i--)
	{
		Bitmapset *fewer = bms_del_member(bms_copy(chosen), i);

		if (bms_num_members(fewer) > 0 && determines_all(region, equalities, keys, fewer))
			chosen = fewer;
	}
	i = -1;
	while ((i = bms_next_member(chosen, i)) >= 0)
	{
		for (int j = 0; j < keys[i - 1].ncolumns; j++)
			key = list_append_unique_int(
				key, find_key_output(region, equalities, i, &keys[i - 1], j));
	}
	return list_length(key) <= INDEX_MAX_KEYS ? key : NIL;
}

/*
 * True if an operator is the equality of some btree operator family.
 */
static bool
is_equality_operator(Oid operator)
{
	return get_mergejoin_opfamilies(operator) != NIL;
}

/*
 * Orders columns by their number in the table; expressions come last.
 */
static int
compare_columns(const ListCell *a, const ListCell *b)
{
	int x = IsA(lfirst(a), Var) ? ((Var *) lfirst(a))->varattno : PG_INT16_MAX;
	int y = IsA(lfirst(b), Var) ? ((Var *) lfirst(b))->varattno : PG_INT16_MAX;

	return x - y;
}

/*
 * Returns the columns and expressions by which an occurrence is looked up from another
 * one.
 */
static List *
lookup_columns(List *equalities, int occurrence, int partner)
{
	List *columns = NIL;
	ListCell *lc;

	foreach (lc, equalities)
	{
		Equality *equality = (Equality *) lfirst(lc);

		for (int i = 0; i < 2; i++)
		{
			if (equality->sides[i].occurrence == occurrence &&
				equality->sides[1 - i].occurrence == partner &&
				is_equality_operator(equality->operator))
				columns = list_append_unique(columns, equality->sides[i].expression);
		}
	}
	list_sort(columns, compare_columns);
	return list_truncate(columns, INDEX_MAX_KEYS);
}

/*
 * True if the rows of an occurrence can be found by an index, once those of the
 * occurrences in known are.
 */
static bool
is_reachable(Region *region, List *equalities, int occurrence, Bitmapset *known)
{
	Oid relid = region->occurrences[occurrence - 1].rte->relid;
	SourceKey key;
	int partner = -1;

	if (region->occurrences[occurrence - 1].rte->rtekind != RTE_RELATION)
		return true;
	find_source_key(region->occurrences[occurrence - 1].rte, &key);
	if (is_determined(equalities, occurrence, &key, known))
		return true;
	while ((partner = bms_next_member(known, partner)) >= 0)
	{
		List *columns = lookup_columns(equalities, occurrence, partner);

		if (columns != NIL && derive_index_exists(relid, columns))
			return true;
	}
	return false;
}

/*
 * Adds to known all occurrences that can be reached from it by indexes.
 */
static Bitmapset *
add_reachable(Region *region, List *equalities, Bitmapset *known)
{
	int before;

	do
	{
		before = bms_num_members(known);
		for (int i = 1; i <= region->noccurrences; i++)
		{
			if (!bms_is_member(i, known) && is_reachable(region, equalities, i, known))
				known = bms_add_member(known, i);
		}
	} while (bms_num_members(known) > before);
	return known;
}

/*
 * Adds to known an occurrence that no index leads to but a condition does, and the
 * statement for that index to statements.  False if there is no such occurrence.
 */
static bool
add_unindexed(Region *region, List *equalities, Bitmapset **known, List **statements)
{
	for (int i = 1; i <= region->noccurrences; i++)
	{
		int partner = -1;

		while (!bms_is_member(i, *known) &&
			   (partner = bms_next_member(*known, partner)) >= 0)
		{
			List *columns = lookup_columns(equalities, i, partner);

			if (columns == NIL)
				continue;
			*statements = derive_index_suggest(
				*statements, region->occurrences[i - 1].rte->relid, columns);
			*known = bms_add_member(*known, i);
			return true;
		}
	}
	return false;
}

/*
 * Adds the statements for the indexes that a change of one occurrence would need on
 * its way to all others.
 */
static List *
suggest_join_indexes(Region *region, List *equalities, int changed, List *statements)
{
	Bitmapset *known = bms_make_singleton(changed);

	do
		known = add_reachable(region, equalities, known);
	while (add_unindexed(region, equalities, &known, &statements));
	return statements;
}

/*
 * Returns the only source occurrence whose plain columns are a fold's keys and these
 * columns, or 0.
 */
static int
key_columns(Stage *stage, List **columns)
{
	int occurrence = 0;

	*columns = NIL;
	for (int i = 0; i < stage->nkeys; i++)
	{
		Var *var = (Var *) list_nth_node(TargetEntry, stage->region->columns, i)->expr;

		if (!IsA(var, Var) || (occurrence != 0 && var->varno != occurrence))
			return 0;
		occurrence = var->varno;
		*columns = list_append_unique(*columns, as_in_index((Node *) var));
	}
	list_sort(*columns, compare_columns);
	return occurrence;
}

/*
 * Adds CREATE INDEX statements for the lookups of joins from each partner.  An outer
 * join, or EXISTS, looks for partners in both directions as an inner one does.
 */
static List *
suggest_region_indexes(Region *region, List *statements)
{
	List *equalities = node_equalities(region->root, true, false);
	Bitmapset *all = NULL;
	ListCell *lc;

	for (int i = 1; i <= region->noccurrences; i++)
		all = bms_add_member(all, i);
	foreach (lc, equalities)
		((Equality *) lfirst(lc))->determinable = all;
	for (int i = 1; i <= region->noccurrences; i++)
	{
		if (region->occurrences[i - 1].rte->rtekind == RTE_RELATION)
			statements = suggest_join_indexes(region, equalities, i, statements);
	}
	return statements;
}

/*
 * Returns CREATE INDEX statements, see plan.h: for joins, for the groups or parts that may
 * have to be computed again, and for the order of which the first rows are read.
 */
List *
derive_plan_missing_indexes(ViewPlan *plan)
{
	Stage *stage = plan->stage;
	Region *region = stage->region;
	List *statements = NIL;
	ListCell *lc;

	foreach (lc, stage->branches)
		statements = suggest_region_indexes(lfirst(lc), statements);
	if (stage->kind == STAGE_RECURSION)
		foreach (lc, derive_recursion_regions(plan))
			statements = suggest_region_indexes(lfirst(lc), statements);
	if (region == NULL)
		return statements;
	if (stage->kind == STAGE_FIRST)
		return derive_first_missing_index(plan);
	statements = suggest_region_indexes(region, statements);
	if (stage->kind == STAGE_KEYS ||
		(stage->kind == STAGE_FOLD && derive_fold_may_recompute(stage)))
	{
		List *columns;
		int occurrence = key_columns(stage, &columns);

		if (occurrence > 0 && region->occurrences[occurrence - 1].source >= 0)
			statements = derive_index_suggest(
				statements, region->occurrences[occurrence - 1].rte->relid, columns);
	}
	return statements;
}
