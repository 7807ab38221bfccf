/*-------------------------------------------------------------------------
 *
 * algebra.c
 *	  The delta of a linear region as SQL.
 *
 * Write N' for a node of the region's tree at the snapshot, N for the same before the
 * deltas, dN for its change: N' - N as a multiset with signs.  Contents are multisets
 * with signs as well, and a joined row has the product of its parts' signs.  Deltas
 * need not be net.  Every node's change is a union of terms; a term exists only if the
 * node changed whose d it has.
 *
 * INNER of C1 .. Cn, one term for each i:
 *
 *		C1 .. Ci-1  dCi  Ci+1' .. Cn'
 *
 * C1'..Cn' - C1..Cn is a telescoping sum in which the i-th summand replaces Ci by Ci',
 * and Ci' - Ci is the change.
 *
 * L SEMI R, where q is the join's condition, and m(l) the signed number of R's rows
 * that match l:
 *
 *		dL WHERE m' > 0							(1)
 *		L rows with m = 0 and m' > 0, minus L rows with m > 0 and m' = 0		(2)
 *
 * since L'[m'>0] - L[m>0] = (L' - L)[m'>0] + L([m'>0] - [m>0]).  For (2) only such l
 * are looked at that match some row of dR ("flip": d is the sum of the signs of these).
 * As m' = m + d, a row goes from no match to some if d > 0 and m' = d, from some to
 * none if d < 0 and m' = 0; so in both cases it must be that
 *
 *		d <> 0 AND NOT EXISTS (SELECT 1 FROM R' WHERE q OFFSET GREATEST(d, 0))
 *
 * which reads at most d + 1 rows of R', so that a row with a million matches costs as
 * much as one with few.  L ANTI R is the same with NOT EXISTS in (1), and the opposite
 * signs in (2).
 *
 * L LEFT R is the inner join and, with NULLs for R, L ANTI R:
 *
 *		dL LEFT JOIN R' ON q					((1) of both)
 *		L JOIN dR ON q
 *		(2) of L ANTI R
 *
 * L FULL R is L LEFT R and, with NULLs for L, R ANTI L.  NULLs come from a LEFT JOIN ON
 * false, so that they have the type, collation and domain that they should have.
 *
 * d(l) comes from grouping dR by its sides of the equalities that connect l with it, if
 * other conditions mention one side only: then l matches all rows of a group or none.
 * Otherwise the rows of dR with the keys of l, which are kept as an array in its group,
 * are looked at for each l; without any equality, all of dR.
 *
 * How content is written: N' is a join over the tables.  N for a leaf is the CTE
 *
 *		old_t AS NOT MATERIALIZED (SELECT 1, columns FROM t
 *								   UNION ALL
 *								   SELECT -sign, columns FROM delta_t)
 *
 * N for another node is N' - dN: terms are linear in each of their parts, so one that
 * has N is written twice, once with N' and once with dN and the opposite sign.  That
 * lets the planner reach N' through indexes, which it could not do through a UNION ALL
 * of joins, and dN by hashing it: where N' is looked up row by row in a UNION ALL, dN would
 * be read as often.  Therefore leaves are taken apart as well, as long as that does not make
 * too many terms.  dN of a node below the root is a CTE, change_<number>.  A node over one
 * table, with conditions and functions but no further table, is written out wherever
 * it is used: all of this is linear.
 *
 * The delta comes first in FROM, for readers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "change/layout.h"
#include "plan/algebra.h"
#include "plan/plan.h"
#include "plan/region_text.h"

/*
 * In a term of an INNER node, the content before the deltas of so many children is written
 * as two parts: each doubles the number of terms.
 */
#define MAX_APART 2

/* Which content of a node is written. */
typedef enum NodeForm
{
	FORM_NEW,	/* N' */
	FORM_OLD,	/* N: only where node_is_thin */
	FORM_DELTA, /* dN */
	FORM_UNDO	/* -dN, where N is N' - dN */
} NodeForm;

/* A CTE with a node's change. */
typedef struct ChangeCte
{
	char *name;
	char *body;
	bool materialized;
} ChangeCte;

typedef struct DeltaWriter
{
	Region *region;
	List *sources;
	Bitmapset *changed;
	RegionText *text;
	Bitmapset *old_used; /* sources whose content before the delta is read */
	List *changes;		 /* of ChangeCte, in the order in which they must stand */
} DeltaWriter;

/* An item of FROM. */
typedef struct FromItem
{
	char *sql;
	bool join; /* needs parentheses within another join */
} FromItem;

/* A SELECT under construction. */
typedef struct Piece
{
	List *items; /* of FromItem, joined by commas */
	List *quals; /* char *: conditions that must hold */
	List *signs; /* char *: factors of the sign */
} Piece;

static void add_node(DeltaWriter *writer, RegionNode *node, NodeForm form,
					 const int *names, Piece *piece);
static char *
node_terms(DeltaWriter *writer, RegionNode *node, List *columns, List *quals);

/* ---------- text ---------- */

/*
 * Returns texts with a separator between them.
 */
static char *
join_texts(List *texts, const char *separator)
{
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, texts)
		appendStringInfo(&sql, "%s%s", sql.len > 0 ? separator : "", (char *) lfirst(lc));
	return sql.data;
}

/*
 * Adds an item of FROM to a piece.
 */
static void
add_item(Piece *piece, char *sql, bool join)
{
	FromItem *item = palloc_object(FromItem);

	item->sql = sql;
	item->join = join;
	piece->items = lappend(piece->items, item);
}

/*
 * Returns an item as one side of a join.
 */
static char *
item_side(FromItem *item)
{
	return item->join ? psprintf("(%s)", item->sql) : item->sql;
}

/*
 * Returns all items of a piece as one side of a join.  Conditions are left out.
 */
static char *
piece_side(Piece *piece)
{
	List *sides = NIL;
	ListCell *lc;

	foreach (lc, piece->items)
		sides = lappend(sides, item_side(lfirst(lc)));
	return list_length(sides) == 1 ? linitial(sides)
								   : psprintf("(%s)", join_texts(sides, " CROSS JOIN "));
}

/*
 * Returns all items of a piece, with its conditions, as one side of a join.
 */
static char *
closed_side(Piece *piece)
{
	if (piece->quals == NIL)
		return piece_side(piece);
	return psprintf("(%s JOIN (VALUES (0)) one(c) ON %s)", piece_side(piece),
					join_texts(piece->quals, " AND "));
}

/*
 * Returns " FROM items WHERE conditions" of a piece.
 */
static char *
from_where(Piece *piece)
{
	StringInfoData sql;
	List *items = NIL;
	ListCell *lc;

	initStringInfo(&sql);
	foreach (lc, piece->items)
		items = lappend(items, ((FromItem *) lfirst(lc))->sql);
	if (items != NIL)
		appendStringInfo(&sql, "\n   FROM %s", join_texts(items, ",\n    "));
	if (piece->quals != NIL)
		appendStringInfo(&sql, "\n  WHERE %s", join_texts(piece->quals, " AND "));
	return sql.data;
}

/*
 * Returns "alias.__sign", or its opposite.
 */
static char *
signed_column(const char *alias, bool opposite)
{
	return psprintf(opposite ? "(- %s.%s)" : "%s.%s", alias,
					quote_identifier(DERIVE_SIGN_COLUMN));
}

/*
 * Returns the sign of a piece's rows.
 */
static char *
sign_text(Piece *piece)
{
	return piece->signs != NIL ? join_texts(piece->signs, " * ") : "1";
}

/*
 * Returns a piece as a SELECT of its sign and of columns.
 */
static char *
piece_select(DeltaWriter *writer, Piece *piece, List *columns, const int *names)
{
	char *list = derive_text_select_list(writer->text, columns, names);
	char *sign = sign_text(piece);

	if (strchr(sign, ' ') != NULL)
		sign = psprintf("%s AS %s", sign, quote_identifier(DERIVE_SIGN_COLUMN));
	return psprintf(" SELECT %s%s%s%s", sign, list[0] != '\0' ? ",\n    " : "", list,
					from_where(piece));
}

/*
 * Adds conditions to a piece.
 */
static void
add_conditions(DeltaWriter *writer, List *conditions, const int *names, Piece *piece)
{
	ListCell *lc;

	foreach (lc, conditions)
		piece->quals = lappend(piece->quals,
							   derive_text_expression(writer->text, lfirst(lc), names));
}

/* ---------- nodes ---------- */

/*
 * True if an occurrence below a node has a delta.
 */
static bool
node_changed(DeltaWriter *writer, RegionNode *node)
{
	int i = -1;

	while ((i = bms_next_member(node->members, i)) >= 0)
	{
		int source = writer->region->occurrences[i - 1].source;

		if (source >= 0 && bms_is_member(source, writer->changed))
			return true;
	}
	return false;
}

/*
 * True if a node is written out in every form: it has one table, or none.
 */
static bool
node_is_thin(RegionNode *node)
{
	int nsources = 0;
	ListCell *lc;

	if (node->kind == NODE_LEAF || !node->has_source)
		return true;
	if (node->kind != NODE_INNER)
		return false;
	foreach (lc, node->children)
	{
		RegionNode *child = lfirst(lc);

		if (child->has_source && (++nsources > 1 || !node_is_thin(child)))
			return false;
	}
	return true;
}

/*
 * Returns the forms that together are a node's content before the deltas; apart: they
 * may be several even if one would do.
 */
static List *
old_forms(DeltaWriter *writer, RegionNode *node, bool apart)
{
	if (!node_changed(writer, node))
		return list_make1_int(FORM_NEW);
	if (node_is_thin(node) && !apart)
		return list_make1_int(FORM_OLD);
	return list_make2_int(FORM_NEW, FORM_UNDO);
}

/*
 * Returns how rows are named when nothing stands for something else.
 */
static int *
own_names(DeltaWriter *writer)
{
	return palloc0_array(int, writer->region->noccurrences + 1);
}

/*
 * Notes how the rows of a node are named when it is written in a form.
 */
static void
set_names(RegionNode *node, NodeForm form, int *names)
{
	bool change = !node_is_thin(node) && (form == FORM_DELTA || form == FORM_UNDO);
	int i = -1;

	while ((i = bms_next_member(node->members, i)) >= 0)
		names[i] = change && bms_is_member(i, node->visible) ? node->number : 0;
}

/*
 * Returns a copy of names in which those of a node are for a form.
 */
static int *
with_names(DeltaWriter *writer, const int *names, RegionNode *node, NodeForm form)
{
	int *copy = own_names(writer);

	memcpy(copy, names, sizeof(int) * (writer->region->noccurrences + 1));
	set_names(node, form, copy);
	return copy;
}

/*
 * Returns the name of the CTE with a node's change.
 */
static char *
change_name(DeltaWriter *writer, RegionNode *node)
{
	return psprintf("%schange_%d", writer->region->name, node->number);
}

/*
 * Returns the CTE with a node's change, which is written when it is first needed.
 */
static ChangeCte *
find_change(DeltaWriter *writer, RegionNode *node)
{
	char *name = change_name(writer, node);
	ChangeCte *cte;
	ListCell *lc;

	foreach (lc, writer->changes)
	{
		if (strcmp(((ChangeCte *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	}
	cte = palloc0_object(ChangeCte);
	cte->name = name;
	cte->body = node_terms(writer, node, derive_text_exposed(writer->region, node), NIL);
	writer->changes = lappend(writer->changes, cte);
	return cte;
}

/*
 * Adds the CTE with a node's change, or its opposite, to a piece.
 */
static void
add_change(DeltaWriter *writer, RegionNode *node, NodeForm form, Piece *piece)
{
	ChangeCte *cte = find_change(writer, node);
	char *alias = psprintf("change_%d", node->number);

	add_item(piece,
			 strcmp(cte->name, alias) == 0
				 ? alias
				 : psprintf("%s %s", quote_identifier(cte->name), alias),
			 false);
	piece->signs = lappend(piece->signs, signed_column(alias, form == FORM_UNDO));
}

/*
 * Adds a leaf to a piece.
 */
static void
add_leaf(DeltaWriter *writer, RegionNode *node, NodeForm form, const int *names,
		 Piece *piece)
{
	Occurrence *occurrence = &writer->region->occurrences[node->occurrence - 1];
	const char *alias = quote_identifier(occurrence->alias);
	PlanSource *source;
	const char *name;

	if (occurrence->source < 0)
	{
		add_item(piece, derive_text_leaf(writer->text, node->occurrence, names), false);
		return;
	}

	source = list_nth(writer->sources, occurrence->source);
	if (form == FORM_NEW)
	{
		bool same = strcmp(get_rel_name(source->relid), occurrence->alias) == 0;

		add_item(piece,
				 psprintf("%s%s%s%s", occurrence->rte->inh ? "" : "ONLY ",
						  derive_relation_name(source->relid), same ? "" : " ",
						  same ? "" : alias),
				 false);
		return;
	}
	if (form == FORM_OLD)
		writer->old_used = bms_add_member(writer->old_used, occurrence->source);
	name = form == FORM_OLD ? derive_region_old_name(source) : source->delta_name;
	add_item(piece, psprintf("%s %s", quote_identifier(name), alias), false);
	piece->signs = lappend(piece->signs, signed_column(alias, form == FORM_UNDO));
}

/*
 * Adds an INNER node to a piece.  If the form is not FORM_NEW, the node is thin, and
 * the child with the table has that form.
 */
static void
add_inner(DeltaWriter *writer, RegionNode *node, NodeForm form, const int *names,
		  Piece *piece)
{
	RegionNode *first = NULL;
	ListCell *lc;

	foreach (lc, node->children)
	{
		RegionNode *child = lfirst(lc);

		if ((form == FORM_DELTA || form == FORM_UNDO) && child->has_source)
			first = child;
	}
	if (first != NULL)
		add_node(writer, first, form, names, piece);
	foreach (lc, node->children)
	{
		RegionNode *child = lfirst(lc);

		if (child != first)
			add_node(writer, child, child->has_source ? form : FORM_NEW, names, piece);
	}
	add_conditions(writer, node->quals, names, piece);
}

/*
 * Returns "left LEFT JOIN right ON conditions" for a side that has been written and a
 * node at the snapshot.
 */
static char *
left_join_text(DeltaWriter *writer, const char *left, RegionNode *right, List *conditions,
			   const int *names)
{
	Piece piece = {NIL};

	add_node(writer, right, FORM_NEW, names, &piece);
	add_conditions(writer, conditions, names, &piece);
	return psprintf("%s LEFT JOIN %s ON %s", left, piece_side(&piece),
					piece.quals != NIL ? join_texts(piece.quals, " AND ") : "true");
}

/*
 * Adds the content of a LEFT or FULL node at the snapshot to a piece.
 */
static void
add_outer_join(DeltaWriter *writer, RegionNode *node, const int *names, Piece *piece)
{
	RegionNode *right = lsecond(node->children);
	Piece left = {NIL};
	Piece full = {NIL};
	Piece on = {NIL};

	add_node(writer, linitial(node->children), FORM_NEW, names, &left);
	if (node->kind == NODE_LEFT)
	{
		add_item(piece,
				 left_join_text(writer, piece_side(&left), right, node->quals, names),
				 true);
		piece->quals = list_concat(piece->quals, left.quals);
		return;
	}
	add_node(writer, right, FORM_NEW, names, &full);
	add_conditions(writer, node->quals, names, &on);
	add_item(piece,
			 psprintf("%s FULL JOIN %s ON %s", closed_side(&left), closed_side(&full),
					  on.quals != NIL ? join_texts(on.quals, " AND ") : "true"),
			 true);
}

/*
 * Returns "EXISTS (rows of a node at the snapshot that match)", for rows around it that
 * go by the given names; behind: what follows the subquery's conditions.
 */
static char *
exists_text(DeltaWriter *writer, RegionNode *node, List *conditions, const int *names,
			const char *behind)
{
	int *inside = with_names(writer, names, node, FORM_NEW);
	Piece piece = {NIL};

	add_node(writer, node, FORM_NEW, inside, &piece);
	add_conditions(writer, conditions, inside, &piece);
	return psprintf("EXISTS (SELECT 1%s%s)", from_where(&piece), behind);
}

/*
 * Adds a node in a form to a piece.
 */
static void
add_node(DeltaWriter *writer, RegionNode *node, NodeForm form, const int *names,
		 Piece *piece)
{
	if ((form == FORM_DELTA || form == FORM_UNDO) && !node_is_thin(node))
	{
		add_change(writer, node, form, piece);
		return;
	}
	switch (node->kind)
	{
		case NODE_LEAF:
			add_leaf(writer, node, form, names, piece);
			break;
		case NODE_INNER:
			add_inner(writer, node, form, names, piece);
			break;
		case NODE_LEFT:
		case NODE_FULL:
			add_outer_join(writer, node, names, piece);
			break;
		case NODE_SEMI:
		case NODE_ANTI:
			add_node(writer, linitial(node->children), FORM_NEW, names, piece);
			piece->quals = lappend(piece->quals,
								   psprintf("%s%s", node->kind == NODE_ANTI ? "NOT " : "",
											exists_text(writer, lsecond(node->children),
														node->quals, names, "")));
			break;
	}
}

/* ---------- flips ---------- */

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
		add_conditions(writer, list_make1(op), names, piece);
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
	int *names = with_names(writer, own_names(writer), inner, FORM_DELTA);
	Piece piece = {NIL};
	List *keys = NIL;
	StringInfoData sql;
	char *list;
	ListCell *lc;

	add_node(writer, inner, FORM_DELTA, names, &piece);
	add_conditions(writer, split->inner, names, &piece);
	foreach (lc, split->keys)
		keys = lappend(keys,
					   makeTargetEntry(copyObject(lfirst(lc)), 1,
									   psprintf("k%d", list_length(keys) + 1), false));
	list = derive_text_select_list(writer->text, keys, names);

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s%s", list, keys != NIL ? ", " : "");
	if (columns == NIL)
		appendStringInfo(&sql, "pg_catalog.sum(%s) AS d", sign_text(&piece));
	else
	{
		appendStringInfo(&sql, "pg_catalog.array_agg(ROW(%s", sign_text(&piece));
		foreach (lc, columns)
			appendStringInfo(&sql, ", %s",
							 derive_text_expression(writer->text, lfirst(lc), names));
		appendStringInfoString(&sql, ")) AS changed");
	}
	appendStringInfoString(&sql, from_where(&piece));
	for (int i = 1; i <= list_length(keys); i++)
		appendStringInfo(&sql, "%s%d", i == 1 ? "\n  GROUP BY " : ", ", i);
	if (columns == NIL)
		appendStringInfo(&sql, "\n  HAVING pg_catalog.sum(%s) <> 0", sign_text(&piece));
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

	add_item(&piece,
			 psprintf("pg_catalog.unnest(candidate.changed) %s",
					  derive_text_records(writer->text, inner, columns)),
			 false);
	add_conditions(writer, conditions, inside, &piece);
	sign = signed_column(derive_text_records_alias(writer->text, inner), false);
	return psprintf("SELECT pg_catalog.sum(%s) AS d%s\n  HAVING pg_catalog.sum(%s) <> 0",
					sign, from_where(&piece), sign);
}

/*
 * Returns "SELECT d FROM the rows of a node's change that match" for outer rows that go
 * by the given names.
 */
static char *
matching_change(DeltaWriter *writer, RegionNode *inner, List *conditions,
				const int *names)
{
	int *inside = with_names(writer, names, inner, FORM_DELTA);
	Piece piece = {NIL};

	add_node(writer, inner, FORM_DELTA, inside, &piece);
	add_conditions(writer, conditions, inside, &piece);
	if (!node_is_thin(inner))
		find_change(writer, inner)->materialized = true;
	return psprintf("SELECT pg_catalog.sum(%s) AS d%s\n  HAVING pg_catalog.sum(%s) <> 0",
					sign_text(&piece), from_where(&piece), sign_text(&piece));
}

/*
 * Makes a piece of the rows of the outer node, in a form that is part of its content
 * before the deltas, which gain their first match in the inner node or lose their last
 * one; sign: that of those that gain.  nullable: whether the inner node's columns are
 * there, as NULLs.
 */
static void
make_flips(DeltaWriter *writer, RegionNode *outer, RegionNode *inner, List *conditions,
		   NodeForm form, int sign, bool nullable, const int *names, Piece *piece)
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
			add_item(piece,
					 psprintf("(%s) candidate",
							  grouped_change(writer, inner, &split, columns)),
					 false);
		flip = psprintf("LATERAL (%s) flip",
						columns != NIL
							? matching_rows(writer, inner, split.other, columns, names)
							: matching_change(writer, inner, conditions, names));
	}
	if (nullable)
		flip = left_join_text(writer, flip, inner,
							  list_make1(makeBoolConst(false, false)), own_names(writer));
	if (grouped)
		add_item(piece, flip, nullable);
	add_node(writer, outer, form, names, piece);
	if (!grouped)
		add_item(piece, flip, nullable);

	add_key_conditions(writer, &split, !grouped, names, piece);
	add_conditions(writer, split.outer, names, piece);
	piece->quals = lappend(
		piece->quals, psprintf("NOT %s", exists_text(writer, inner, conditions, names,
													 " OFFSET GREATEST(flip.d, 0)")));
	piece->signs = lappend(
		piece->signs, psprintf("CASE WHEN flip.d > 0 THEN %d ELSE %d END", sign, -sign));
}

/* ---------- terms ---------- */

/* The terms of a node's change under construction. */
typedef struct Terms
{
	DeltaWriter *writer;
	RegionNode *node;
	List *columns; /* TargetEntries that each term selects */
	List *quals;   /* further conditions on the node's rows */
	List *selects; /* char * */
} Terms;

/*
 * Adds a piece to the terms.
 */
static void
add_term(Terms *terms, Piece *piece, const int *names)
{
	add_conditions(terms->writer, terms->quals, names, piece);
	terms->selects = lappend(terms->selects,
							 piece_select(terms->writer, piece, terms->columns, names));
}

/*
 * Adds the term of an INNER node in which its children have the given forms.
 */
static void
add_inner_term(Terms *terms, const NodeForm *forms)
{
	int *names = own_names(terms->writer);
	Piece piece = {NIL};
	List *children = terms->node->children;

	for (int i = 0; i < list_length(children); i++)
		set_names(list_nth(children, i), forms[i], names);
	for (int i = 0; i < list_length(children); i++)
	{
		if (forms[i] == FORM_DELTA)
			add_node(terms->writer, list_nth(children, i), FORM_DELTA, names, &piece);
	}
	for (int i = 0; i < list_length(children); i++)
	{
		if (forms[i] != FORM_DELTA)
			add_node(terms->writer, list_nth(children, i), forms[i], names, &piece);
	}
	add_conditions(terms->writer, terms->node->quals, names, &piece);
	add_term(terms, &piece, names);
}

/*
 * Adds the terms of an INNER node for the change of one child: those in which the
 * children before it, from the given one on, have their content before the deltas.
 */
static void
expand_inner(Terms *terms, int changed, int from, NodeForm *forms)
{
	int nchanged = 0;
	ListCell *lc;

	if (from == changed)
	{
		add_inner_term(terms, forms);
		return;
	}
	for (int i = 0; i < from; i++)
		nchanged += node_changed(terms->writer, list_nth(terms->node->children, i));
	foreach (lc, old_forms(terms->writer, list_nth(terms->node->children, from),
						   nchanged < MAX_APART))
	{
		forms[from] = lfirst_int(lc);
		expand_inner(terms, changed, from + 1, forms);
	}
}

/*
 * Adds the terms of an INNER node.
 */
static void
add_inner_terms(Terms *terms)
{
	int n = list_length(terms->node->children);
	NodeForm *forms = palloc0_array(NodeForm, n);

	for (int i = 0; i < n; i++)
	{
		if (!node_changed(terms->writer, list_nth(terms->node->children, i)))
			continue;
		for (int j = i; j < n; j++)
			forms[j] = j == i ? FORM_DELTA : FORM_NEW;
		expand_inner(terms, i, 0, forms);
	}
}

/*
 * Adds the terms for rows of the outer side that gain or lose all matches; see
 * make_flips.
 */
static void
add_flip_terms(Terms *terms, RegionNode *outer, RegionNode *inner, int sign,
			   bool nullable)
{
	ListCell *lc;

	if (!node_changed(terms->writer, inner))
		return;
	foreach (lc, old_forms(terms->writer, outer, true))
	{
		int *names = with_names(terms->writer, own_names(terms->writer), outer,
								lfirst_int(lc));
		Piece piece = {NIL};

		make_flips(terms->writer, outer, inner, terms->node->quals, lfirst_int(lc), sign,
				   nullable, names, &piece);
		add_term(terms, &piece, names);
	}
}

/*
 * Adds the term for the change of the outer side of a SEMI or ANTI node.
 */
static void
add_outer_side_term(Terms *terms, RegionNode *outer, RegionNode *inner, bool negated,
					bool nullable)
{
	DeltaWriter *writer = terms->writer;
	int *names = with_names(writer, own_names(writer), outer, FORM_DELTA);
	Piece piece = {NIL};

	if (!node_changed(writer, outer))
		return;
	add_node(writer, outer, FORM_DELTA, names, &piece);
	if (nullable)
	{
		char *sql = left_join_text(writer, piece_side(&piece), inner,
								   list_make1(makeBoolConst(false, false)), names);

		piece.items = NIL;
		add_item(&piece, sql, true);
	}
	piece.quals = lappend(
		piece.quals, psprintf("%s%s", negated ? "NOT " : "",
							  exists_text(writer, inner, terms->node->quals, names, "")));
	add_term(terms, &piece, names);
}

/*
 * Adds the terms of a LEFT node, or of that part of a FULL one.
 */
static void
add_left_terms(Terms *terms, RegionNode *left, RegionNode *right)
{
	DeltaWriter *writer = terms->writer;
	ListCell *lc;

	if (node_changed(writer, left))
	{
		int *names = with_names(writer, own_names(writer), left, FORM_DELTA);
		Piece piece = {NIL};
		char *sql;

		add_node(writer, left, FORM_DELTA, names, &piece);
		sql = left_join_text(writer, piece_side(&piece), right, terms->node->quals,
							 names);
		piece.items = NIL;
		add_item(&piece, sql, true);
		add_term(terms, &piece, names);
	}
	if (!node_changed(writer, right))
		return;
	foreach (lc, old_forms(writer, left, true))
	{
		int *names = with_names(writer, own_names(writer), right, FORM_DELTA);
		Piece piece = {NIL};

		set_names(left, lfirst_int(lc), names);
		add_node(writer, right, FORM_DELTA, names, &piece);
		add_node(writer, left, lfirst_int(lc), names, &piece);
		add_conditions(writer, terms->node->quals, names, &piece);
		add_term(terms, &piece, names);
	}
	add_flip_terms(terms, left, right, -1, true);
}

/*
 * Returns the terms of a node's change as text, for those of its rows for which further
 * conditions hold; each selects the sign, then columns.
 */
static char *
node_terms(DeltaWriter *writer, RegionNode *node, List *columns, List *quals)
{
	Terms terms = {writer, node, columns, quals};
	bool negated = node->kind == NODE_ANTI;
	RegionNode *left = linitial(node->children);
	RegionNode *right = NULL;

	if (node->kind != NODE_INNER)
		right = lsecond(node->children);
	else if (list_length(node->children) == 1 && left->kind != NODE_LEAF)
		return node_terms(writer, left, columns, list_concat_copy(node->quals, quals));
	switch (node->kind)
	{
		case NODE_INNER:
			add_inner_terms(&terms);
			break;
		case NODE_LEFT:
			add_left_terms(&terms, left, right);
			break;
		case NODE_FULL:
			add_left_terms(&terms, left, right);
			add_outer_side_term(&terms, right, left, true, true);
			add_flip_terms(&terms, right, left, -1, true);
			break;
		case NODE_SEMI:
		case NODE_ANTI:
			add_outer_side_term(&terms, left, right, negated, false);
			add_flip_terms(&terms, left, right, negated ? -1 : 1, false);
			break;
		case NODE_LEAF:
			elog(ERROR, "a leaf has no terms");
	}
	return join_texts(terms.selects, "\nUNION ALL\n");
}

/* ---------- the whole ---------- */

/*
 * Returns the text of a CTE with a source's content before its delta.  OFFSET 0 makes the
 * delta a subquery of its own: only then can the whole be looked into by an index.
 */
static char *
old_cte(PlanSource *source)
{
	StringInfoData columns;
	int attno = -1;

	initStringInfo(&columns);
	while ((attno = bms_next_member(source->columns, attno)) >= 0)
		appendStringInfo(&columns, ", %s",
						 quote_identifier(get_attname(source->relid, attno, false)));
	return psprintf("%s AS NOT MATERIALIZED (\n"
					"SELECT 1 AS \"" DERIVE_SIGN_COLUMN "\"%s FROM %s%s\n"
					"UNION ALL\n"
					"SELECT * FROM (SELECT - \"" DERIVE_SIGN_COLUMN
					"\"%s FROM %s OFFSET 0) d)",
					quote_identifier(derive_region_old_name(source)), columns.data,
					source->only ? "ONLY " : "", derive_relation_name(source->relid),
					columns.data, quote_identifier(source->delta_name));
}

/*
 * Adds a text to a list of texts, unless it is there.
 */
static List *
append_unique_text(List *texts, char *text)
{
	ListCell *lc;

	foreach (lc, texts)
	{
		if (strcmp(lfirst(lc), text) == 0)
			return texts;
	}
	return lappend(texts, text);
}

/*
 * Makes the delta of a region when exactly the sources in changed (indexes into
 * sources) have one: terms is a SELECT that gives column "__sign", then the region's
 * columns; to ctes (of char *, as they stand in a WITH clause) what it needs is added.
 * Several regions over the same sources may share the list, if their names differ.
 */
List *
derive_algebra_collect(List *ctes, Region *region, List *sources, Bitmapset *changed,
					   bool pretty, char **terms)
{
	DeltaWriter writer = {region, sources, changed};
	int source = -1;
	ListCell *lc;

	writer.text = derive_text_begin(region, pretty);
	*terms = node_terms(&writer, region->root, region->columns, NIL);
	while ((source = bms_next_member(writer.old_used, source)) >= 0)
		ctes = append_unique_text(ctes, old_cte(list_nth(sources, source)));
	foreach (lc, writer.changes)
	{
		ChangeCte *cte = (ChangeCte *) lfirst(lc);

		ctes = lappend(ctes,
					   psprintf("%s AS %s(\n%s)", quote_identifier(cte->name),
								cte->materialized ? "MATERIALIZED " : "", cte->body));
	}
	return ctes;
}

/*
 * Returns the WITH clause of collected CTEs, with a line's end; "" if there are none.
 */
char *
derive_algebra_with(List *ctes)
{
	return ctes != NIL ? psprintf("WITH %s\n", join_texts(ctes, ", ")) : "";
}

/*
 * Makes the delta of one region, see derive_algebra_collect; with is what must stand
 * before the statement in which terms is used, or "".
 */
void
derive_algebra_delta(Region *region, List *sources, Bitmapset *changed, bool pretty,
					 char **with, char **terms)
{
	*with = derive_algebra_with(
		derive_algebra_collect(NIL, region, sources, changed, pretty, terms));
}
