/*-------------------------------------------------------------------------
 *
 * algebra_flips.c
 *	  Rows of one node that gain their first match in another, or lose their last one.
 *
 * These are (2) of algebra.c: L rows with m = 0 and m' > 0, minus L rows with m > 0 and
 * m' = 0, where m(l) is the signed number of R's rows that match l.  Only such l are looked
 * at that match some row of dR ("flip": d is the sum of the signs of these).  As m' = m + d,
 * a row goes from no match to some if d > 0 and m' = d, from some to none if d < 0 and
 * m' = 0; so in both cases it must be that
 *
 *		d <> 0 AND NOT EXISTS (SELECT 1 FROM R' WHERE q OFFSET GREATEST(d, 0))
 *
 * which reads at most d + 1 rows of R', so that a row with a million matches costs as
 * much as one with few.
 *
 * d(l) comes from grouping dR by its sides of the equalities that connect l with it, if
 * other conditions mention one side only: then l matches all rows of a group or none.
 * Otherwise the rows of dR with the keys of l, which are kept as an array in its group,
 * are looked at for each l; without any equality, all of dR.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "plan/algebra_private.h"

/* The conditions between two nodes, by what they mention. */
typedef struct SplitConditions
{
	List *equalities; /* of OpExpr */
	List *keys;		  /* the inner side of each */
	List *inner;	  /* mention the inner node only */
	List *outer;	  /* mention the outer node only, or nothing */
	List *other;
} SplitConditions;

/*
 * Returns the side of an equality that belongs to the inner node, if the equality's
 * other side belongs to the outer node, and grouping by the first one puts together
 * what is equal for the condition; else NULL.
 */
static Node *
equality_key(Node *condition, RegionNode *outer, RegionNode *inner)
{
	OpExpr *op = (OpExpr *) condition;

	if (!is_opclause(condition) || list_length(op->args) != 2)
		return NULL;
	for (int i = 0; i < 2; i++)
	{
		Node *key = list_nth(op->args, i);
		Node *other = list_nth(op->args, 1 - i);
		Bitmapset *mentioned = derive_region_references(key);
		TypeCacheEntry *type;

		if (bms_is_empty(mentioned) || !bms_is_subset(mentioned, inner->visible) ||
			!bms_is_subset(derive_region_references(other), outer->visible) ||
			(OidIsValid(op->inputcollid) && (exprCollation(key) != op->inputcollid ||
											 exprCollation(other) != op->inputcollid)))
			continue;
		type = lookup_type_cache(exprType(key),
								 TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
		if (OidIsValid(type->btree_opf) && OidIsValid(type->eq_opr) &&
			get_op_opfamily_strategy(op->opno, type->btree_opf) == BTEqualStrategyNumber)
			return key;
	}
	return NULL;
}

/*
 * Tells apart the conditions between two nodes.
 */
static void
split_conditions(List *conditions, RegionNode *outer, RegionNode *inner,
				 SplitConditions *split)
{
	ListCell *lc;

	memset(split, 0, sizeof(SplitConditions));
	foreach (lc, conditions)
	{
		Bitmapset *mentioned = derive_region_references(lfirst(lc));
		Node *key = equality_key(lfirst(lc), outer, inner);

		if (bms_is_subset(mentioned, outer->members))
			split->outer = lappend(split->outer, lfirst(lc));
		else if (bms_is_subset(mentioned, inner->members))
			split->inner = lappend(split->inner, lfirst(lc));
		else if (key != NULL)
		{
			split->equalities = lappend(split->equalities, lfirst(lc));
			split->keys = lappend(split->keys, key);
		}
		else
			split->other = lappend(split->other, lfirst(lc));
	}
}

/*
 * Adds the conditions "outer side = k<n>" of "flip" or "candidate" to a piece.
 */
static void
add_key_conditions(DeltaWriter *writer, SplitConditions *split, bool candidate,
				   const int *names, Piece *piece)
{
	for (int i = 0; i < list_length(split->keys); i++)
	{
		OpExpr *op = copyObject(list_nth_node(OpExpr, split->equalities, i));
		Node *key = list_nth(split->keys, i);
		Var *var = derive_text_key_var(writer->text, candidate, i + 1, key);

		for (int j = 0; j < 2; j++)
		{
			/* The operator's arguments are copies, but the sides are told by content. */
			if (equal(list_nth(op->args, j), key))
				lfirst(list_nth_cell(op->args, j)) = var;
		}
		derive_piece_add_conditions(writer, list_make1(op), names, piece);
	}
}

/*
 * Returns "SELECT keys AS k1, ... behind FROM the change of a node, grouped by the keys".
 * columns, of the node: each group has an array "changed" of records with sign and these
 * columns of its rows; NIL: the sum of the signs.
 */
static char *
grouped_change(DeltaWriter *writer, RegionNode *inner, SplitConditions *split,
			   List *columns)
{
	int *names = derive_node_with_names(writer, derive_node_own_names(writer), inner,
										FORM_DELTA);
	Piece piece = {NIL};
	List *keys = NIL;
	StringInfoData sql;
	char *list;
	ListCell *lc;

	derive_node_add(writer, inner, FORM_DELTA, names, &piece);
	derive_piece_add_conditions(writer, split->inner, names, &piece);
	foreach (lc, split->keys)
		keys = lappend(keys,
					   makeTargetEntry(copyObject(lfirst(lc)), 1,
									   psprintf("k%d", list_length(keys) + 1), false));
	list = derive_text_select_list(writer->text, keys, names);

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s%s", list, keys != NIL ? ", " : "");
	if (columns == NIL)
		appendStringInfo(&sql, "pg_catalog.sum(%s) AS d", derive_piece_sign(&piece));
	else
	{
		appendStringInfo(&sql, "pg_catalog.array_agg(ROW(%s", derive_piece_sign(&piece));
		foreach (lc, columns)
			appendStringInfo(&sql, ", %s",
							 derive_text_expression(writer->text, lfirst(lc), names));
		appendStringInfoString(&sql, ")) AS changed");
	}
	appendStringInfoString(&sql, derive_piece_from_where(&piece));
	for (int i = 1; i <= list_length(keys); i++)
		appendStringInfo(&sql, "%s%d", i == 1 ? "\n  GROUP BY " : ", ", i);
	if (columns == NIL)
		appendStringInfo(&sql, "\n  HAVING pg_catalog.sum(%s) <> 0",
						 derive_piece_sign(&piece));
	return sql.data;
}

/*
 * Returns the columns of a node that conditions mention (List of Var); NIL if there are
 * none, or one of a type that no column of a record can have.
 */
static List *
mentioned_columns(List *conditions, RegionNode *node)
{
	List *columns = NIL;
	ListCell *lc;

	foreach (lc, pull_vars_of_level((Node *) conditions, 0))
	{
		Var *var = lfirst_node(Var, lc);

		if (!bms_is_member(var->varno, node->members))
			continue;
		if (get_typtype(var->vartype) == TYPTYPE_PSEUDO)
			return NIL;
		columns = list_append_unique(columns, var);
	}
	return columns;
}

/*
 * Returns "SELECT d FROM the rows of candidate.changed that match", with the given
 * columns, for outer rows that go by the given names.
 */
static char *
matching_rows(DeltaWriter *writer, RegionNode *inner, List *conditions, List *columns,
			  const int *names)
{
	int *inside = derive_text_names_in_records(writer->text, inner, names);
	Piece piece = {NIL};
	char *sign;

	derive_piece_add_item(&piece,
						  psprintf("pg_catalog.unnest(candidate.changed) %s",
								   derive_text_records(writer->text, inner, columns)),
						  false);
	derive_piece_add_conditions(writer, conditions, inside, &piece);
	sign = derive_piece_signed_column(derive_text_records_alias(writer->text, inner),
									  false);
	return psprintf("SELECT pg_catalog.sum(%s) AS d%s\n  HAVING pg_catalog.sum(%s) <> 0",
					sign, derive_piece_from_where(&piece), sign);
}

/*
 * Returns "SELECT d FROM the rows of a node's change that match" for outer rows that go
 * by the given names.
 */
static char *
matching_change(DeltaWriter *writer, RegionNode *inner, List *conditions,
				const int *names)
{
	int *inside = derive_node_with_names(writer, names, inner, FORM_DELTA);
	Piece piece = {NIL};

	derive_node_add(writer, inner, FORM_DELTA, inside, &piece);
	derive_piece_add_conditions(writer, conditions, inside, &piece);
	if (!derive_node_is_thin(inner))
		derive_node_find_change(writer, inner)->materialized = true;
	return psprintf("SELECT pg_catalog.sum(%s) AS d%s\n  HAVING pg_catalog.sum(%s) <> 0",
					derive_piece_sign(&piece), derive_piece_from_where(&piece),
					derive_piece_sign(&piece));
}

/*
 * Makes a piece of the rows of the outer node, in a form that is part of its content
 * before the deltas, which gain their first match in the inner node or lose their last
 * one; sign: that of those that gain.  nullable: whether the inner node's columns are
 * there, as NULLs.
 */
void
derive_algebra_make_flips(DeltaWriter *writer, RegionNode *outer, RegionNode *inner,
						  List *conditions, NodeForm form, int sign, bool nullable,
						  const int *names, Piece *piece)
{
	SplitConditions split;
	List *columns;
	char *flip;
	bool grouped;

	split_conditions(conditions, outer, inner, &split);
	grouped = split.other == NIL;
	columns = split.keys != NIL ? mentioned_columns(split.other, inner) : NIL;
	if (grouped)
		flip = psprintf("(%s) flip", grouped_change(writer, inner, &split, NIL));
	else
	{
		if (split.keys != NIL)
			derive_piece_add_item(
				piece,
				psprintf("(%s) candidate",
						 grouped_change(writer, inner, &split, columns)),
				false);
		flip = psprintf("LATERAL (%s) flip",
						columns != NIL
							? matching_rows(writer, inner, split.other, columns, names)
							: matching_change(writer, inner, conditions, names));
	}
	if (nullable)
		flip = derive_node_left_join(writer, flip, inner,
									 list_make1(makeBoolConst(false, false)),
									 derive_node_own_names(writer));
	if (grouped)
		derive_piece_add_item(piece, flip, nullable);
	derive_node_add(writer, outer, form, names, piece);
	if (!grouped)
		derive_piece_add_item(piece, flip, nullable);

	add_key_conditions(writer, &split, !grouped, names, piece);
	derive_piece_add_conditions(writer, split.outer, names, piece);
	piece->quals = lappend(
		piece->quals,
		psprintf("NOT %s", derive_node_exists(writer, inner, conditions, names,
											  " OFFSET GREATEST(flip.d, 0)")));
	piece->signs = lappend(
		piece->signs, psprintf("CASE WHEN flip.d > 0 THEN %d ELSE %d END", sign, -sign));
}
