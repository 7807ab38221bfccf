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
 * since L'[m'>0] - L[m>0] = (L' - L)[m'>0] + L([m'>0] - [m>0]).  (2) are the flips, see
 * algebra_flips.c.  L ANTI R is the same with NOT EXISTS in (1), and the opposite signs
 * in (2).
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
 * How N', N and dN are written: algebra_nodes.c.  The delta comes first in FROM, for
 * readers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "change/layout.h"
#include "plan/algebra.h"
#include "plan/algebra_private.h"

/*
 * In a term of an INNER node, the content before the deltas of so many children is written
 * as two parts: each doubles the number of terms.
 */
#define MAX_APART 2

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
	derive_piece_add_conditions(terms->writer, terms->quals, names, piece);
	terms->selects = lappend(
		terms->selects, derive_piece_select(terms->writer, piece, terms->columns, names));
}

/*
 * Adds the term of an INNER node in which its children have the given forms.
 */
static void
add_inner_term(Terms *terms, const NodeForm *forms)
{
	int *names = derive_node_own_names(terms->writer);
	Piece piece = {NIL};
	List *children = terms->node->children;

	for (int i = 0; i < list_length(children); i++)
		derive_node_set_names(list_nth(children, i), forms[i], names);
	for (int i = 0; i < list_length(children); i++)
	{
		if (forms[i] == FORM_DELTA)
			derive_node_add(terms->writer, list_nth(children, i), FORM_DELTA, names,
							&piece);
	}
	for (int i = 0; i < list_length(children); i++)
	{
		if (forms[i] != FORM_DELTA)
			derive_node_add(terms->writer, list_nth(children, i), forms[i], names,
							&piece);
	}
	derive_piece_add_conditions(terms->writer, terms->node->quals, names, &piece);
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
		nchanged += derive_node_changed(terms->writer,
										list_nth(terms->node->children, i));
	foreach (lc,
			 derive_node_old_forms(terms->writer, list_nth(terms->node->children, from),
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
		if (!derive_node_changed(terms->writer, list_nth(terms->node->children, i)))
			continue;
		for (int j = i; j < n; j++)
			forms[j] = j == i ? FORM_DELTA : FORM_NEW;
		expand_inner(terms, i, 0, forms);
	}
}

/*
 * Adds the terms for rows of the outer side that gain or lose all matches; see
 * derive_algebra_make_flips.
 */
static void
add_flip_terms(Terms *terms, RegionNode *outer, RegionNode *inner, int sign,
			   bool nullable)
{
	ListCell *lc;

	if (!derive_node_changed(terms->writer, inner))
		return;
	foreach (lc, derive_node_old_forms(terms->writer, outer, true))
	{
		int *names = derive_node_with_names(
			terms->writer, derive_node_own_names(terms->writer), outer, lfirst_int(lc));
		Piece piece = {NIL};

		derive_algebra_make_flips(terms->writer, outer, inner, terms->node->quals,
								  lfirst_int(lc), sign, nullable, names, &piece);
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
	int *names = derive_node_with_names(writer, derive_node_own_names(writer), outer,
										FORM_DELTA);
	Piece piece = {NIL};

	if (!derive_node_changed(writer, outer))
		return;
	derive_node_add(writer, outer, FORM_DELTA, names, &piece);
	if (nullable)
	{
		char *sql = derive_node_left_join(writer, derive_piece_side(&piece), inner,
										  list_make1(makeBoolConst(false, false)), names);

		piece.items = NIL;
		derive_piece_add_item(&piece, sql, true);
	}
	piece.quals = lappend(
		piece.quals,
		psprintf("%s%s", negated ? "NOT " : "",
				 derive_node_exists(writer, inner, terms->node->quals, names, "")));
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

	if (derive_node_changed(writer, left))
	{
		int *names = derive_node_with_names(writer, derive_node_own_names(writer), left,
											FORM_DELTA);
		Piece piece = {NIL};
		char *sql;

		derive_node_add(writer, left, FORM_DELTA, names, &piece);
		sql = derive_node_left_join(writer, derive_piece_side(&piece), right,
									terms->node->quals, names);
		piece.items = NIL;
		derive_piece_add_item(&piece, sql, true);
		add_term(terms, &piece, names);
	}
	if (!derive_node_changed(writer, right))
		return;
	foreach (lc, derive_node_old_forms(writer, left, true))
	{
		int *names = derive_node_with_names(writer, derive_node_own_names(writer), right,
											FORM_DELTA);
		Piece piece = {NIL};

		derive_node_set_names(left, lfirst_int(lc), names);
		derive_node_add(writer, right, FORM_DELTA, names, &piece);
		derive_node_add(writer, left, lfirst_int(lc), names, &piece);
		derive_piece_add_conditions(writer, terms->node->quals, names, &piece);
		add_term(terms, &piece, names);
	}
	add_flip_terms(terms, left, right, -1, true);
}

/*
 * Returns the terms of a node's change as text, for those of its rows for which further
 * conditions hold; each selects the sign, then columns.
 */
char *
derive_algebra_terms(DeltaWriter *writer, RegionNode *node, List *columns, List *quals)
{
	Terms terms = {writer, node, columns, quals};
	bool negated = node->kind == NODE_ANTI;
	RegionNode *left = linitial(node->children);
	RegionNode *right = NULL;

	if (node->kind != NODE_INNER)
		right = lsecond(node->children);
	else if (list_length(node->children) == 1 && left->kind != NODE_LEAF)
		return derive_algebra_terms(writer, left, columns,
									list_concat_copy(node->quals, quals));
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
	return derive_piece_join_texts(terms.selects, "\nUNION ALL\n");
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
	*terms = derive_algebra_terms(&writer, region->root, region->columns, NIL);
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
	return ctes != NIL ? psprintf("WITH %s\n", derive_piece_join_texts(ctes, ", ")) : "";
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
