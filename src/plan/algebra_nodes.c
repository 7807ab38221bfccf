/*-------------------------------------------------------------------------
 *
 * algebra_nodes.c
 *	  Nodes of a region at the snapshot, before the deltas, and their change, as text.
 *
 * N', N and dN are those of algebra.c.  N' is a join over the tables.  N for a leaf is the
 * CTE
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
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "plan/algebra_private.h"

/*
 * True if an occurrence below a node has a delta.
 */
bool
derive_node_changed(DeltaWriter *writer, RegionNode *node)
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
bool
derive_node_is_thin(RegionNode *node)
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

		if (child->has_source && (++nsources > 1 || !derive_node_is_thin(child)))
			return false;
	}
	return true;
}

/*
 * Returns the forms that together are a node's content before the deltas; apart: they
 * may be several even if one would do.
 */
List *
derive_node_old_forms(DeltaWriter *writer, RegionNode *node, bool apart)
{
	if (!derive_node_changed(writer, node))
		return list_make1_int(FORM_NEW);
	if (derive_node_is_thin(node) && !apart)
		return list_make1_int(FORM_OLD);
	return list_make2_int(FORM_NEW, FORM_UNDO);
}

/*
 * Returns how rows are named when nothing stands for something else.
 */
int *
derive_node_own_names(DeltaWriter *writer)
{
	return palloc0_array(int, writer->region->noccurrences + 1);
}

/*
 * Notes how the rows of a node are named when it is written in a form.
 */
void
derive_node_set_names(RegionNode *node, NodeForm form, int *names)
{
	bool change = !derive_node_is_thin(node) && (form == FORM_DELTA || form == FORM_UNDO);
	int i = -1;

	while ((i = bms_next_member(node->members, i)) >= 0)
		names[i] = change && bms_is_member(i, node->visible) ? node->number : 0;
}

/*
 * Returns a copy of names in which those of a node are for a form.
 */
int *
derive_node_with_names(DeltaWriter *writer, const int *names, RegionNode *node,
					   NodeForm form)
{
	int *copy = derive_node_own_names(writer);

	memcpy(copy, names, sizeof(int) * (writer->region->noccurrences + 1));
	derive_node_set_names(node, form, copy);
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
ChangeCte *
derive_node_find_change(DeltaWriter *writer, RegionNode *node)
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
	cte->body = derive_algebra_terms(writer, node,
									 derive_text_exposed(writer->region, node), NIL);
	writer->changes = lappend(writer->changes, cte);
	return cte;
}

/*
 * Adds the CTE with a node's change, or its opposite, to a piece.
 */
static void
add_change(DeltaWriter *writer, RegionNode *node, NodeForm form, Piece *piece)
{
	ChangeCte *cte = derive_node_find_change(writer, node);
	char *alias = psprintf("change_%d", node->number);

	derive_piece_add_item(piece,
						  strcmp(cte->name, alias) == 0
							  ? alias
							  : psprintf("%s %s", quote_identifier(cte->name), alias),
						  false);
	piece->signs = lappend(piece->signs,
						   derive_piece_signed_column(alias, form == FORM_UNDO));
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
		derive_piece_add_item(
			piece, derive_text_leaf(writer->text, node->occurrence, names), false);
		return;
	}

	source = list_nth(writer->sources, occurrence->source);
	if (form == FORM_NEW)
	{
		bool same = strcmp(get_rel_name(source->relid), occurrence->alias) == 0;

		derive_piece_add_item(piece,
							  psprintf("%s%s%s%s", occurrence->rte->inh ? "" : "ONLY ",
									   derive_relation_name(source->relid),
									   same ? "" : " ", same ? "" : alias),
							  false);
		return;
	}
	if (form == FORM_OLD)
		writer->old_used = bms_add_member(writer->old_used, occurrence->source);
	name = form == FORM_OLD ? derive_region_old_name(source) : source->delta_name;
	derive_piece_add_item(piece, psprintf("%s %s", quote_identifier(name), alias), false);
	piece->signs = lappend(piece->signs,
						   derive_piece_signed_column(alias, form == FORM_UNDO));
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
		derive_node_add(writer, first, form, names, piece);
	foreach (lc, node->children)
	{
		RegionNode *child = lfirst(lc);

		if (child != first)
			derive_node_add(writer, child, child->has_source ? form : FORM_NEW, names,
							piece);
	}
	derive_piece_add_conditions(writer, node->quals, names, piece);
}

/*
 * Returns "left LEFT JOIN right ON conditions" for a side that has been written and a
 * node at the snapshot.
 */
char *
derive_node_left_join(DeltaWriter *writer, const char *left, RegionNode *right,
					  List *conditions, const int *names)
{
	Piece piece = {NIL};

	derive_node_add(writer, right, FORM_NEW, names, &piece);
	derive_piece_add_conditions(writer, conditions, names, &piece);
	return psprintf("%s LEFT JOIN %s ON %s", left, derive_piece_side(&piece),
					piece.quals != NIL ? derive_piece_join_texts(piece.quals, " AND ")
									   : "true");
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

	derive_node_add(writer, linitial(node->children), FORM_NEW, names, &left);
	if (node->kind == NODE_LEFT)
	{
		derive_piece_add_item(piece,
							  derive_node_left_join(writer, derive_piece_side(&left),
													right, node->quals, names),
							  true);
		piece->quals = list_concat(piece->quals, left.quals);
		return;
	}
	derive_node_add(writer, right, FORM_NEW, names, &full);
	derive_piece_add_conditions(writer, node->quals, names, &on);
	derive_piece_add_item(
		piece,
		psprintf("%s FULL JOIN %s ON %s", derive_piece_closed_side(&left),
				 derive_piece_closed_side(&full),
				 on.quals != NIL ? derive_piece_join_texts(on.quals, " AND ") : "true"),
		true);
}

/*
 * Returns "EXISTS (rows of a node at the snapshot that match)", for rows around it that
 * go by the given names; behind: what follows the subquery's conditions.
 */
char *
derive_node_exists(DeltaWriter *writer, RegionNode *node, List *conditions,
				   const int *names, const char *behind)
{
	int *inside = derive_node_with_names(writer, names, node, FORM_NEW);
	Piece piece = {NIL};

	derive_node_add(writer, node, FORM_NEW, inside, &piece);
	derive_piece_add_conditions(writer, conditions, inside, &piece);
	return psprintf("EXISTS (SELECT 1%s%s)", derive_piece_from_where(&piece), behind);
}

/*
 * Adds a node in a form to a piece.
 */
void
derive_node_add(DeltaWriter *writer, RegionNode *node, NodeForm form, const int *names,
				Piece *piece)
{
	if ((form == FORM_DELTA || form == FORM_UNDO) && !derive_node_is_thin(node))
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
			derive_node_add(writer, linitial(node->children), FORM_NEW, names, piece);
			piece->quals = lappend(
				piece->quals, psprintf("%s%s", node->kind == NODE_ANTI ? "NOT " : "",
									   derive_node_exists(writer, lsecond(node->children),
														  node->quals, names, "")));
			break;
	}
}
