/*-------------------------------------------------------------------------
 *
 * algebra_private.h
 *	  What the files that write a region's delta share, see algebra.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_ALGEBRA_PRIVATE_H
#define DERIVE_PLAN_ALGEBRA_PRIVATE_H

#include "plan/plan.h"
#include "plan/region_text.h"

/* Which content of a node is written. */
typedef enum NodeForm
{
	FORM_NEW,	/* N' */
	FORM_OLD,	/* N: only where derive_node_is_thin */
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

/* A SELECT under construction. */
typedef struct Piece
{
	List *items; /* as algebra_piece.c keeps them, joined by commas */
	List *quals; /* char *: conditions that must hold */
	List *signs; /* char *: factors of the sign */
} Piece;

/*
 * algebra_piece.c: what a piece holds as text; a side is one operand of a JOIN.  names as in
 * region_text.h.
 */
extern char *derive_piece_join_texts(List *texts, const char *separator);
extern void derive_piece_add_item(Piece *piece, char *sql, bool join);
extern char *derive_piece_side(Piece *piece);
extern char *derive_piece_closed_side(Piece *piece);
extern char *derive_piece_from_where(Piece *piece);
extern char *derive_piece_signed_column(const char *alias, bool opposite);
extern char *derive_piece_sign(Piece *piece);
extern char *
derive_piece_select(DeltaWriter *writer, Piece *piece, List *columns, const int *names);
extern void derive_piece_add_conditions(DeltaWriter *writer, List *conditions,
										const int *names, Piece *piece);

/*
 * algebra_nodes.c: the names of rows and the content of nodes in each form; the change of a
 * node that is not thin becomes a ChangeCte of the writer when it is first asked for.
 */
extern bool derive_node_changed(DeltaWriter *writer, RegionNode *node);
extern bool derive_node_is_thin(RegionNode *node);
extern List *derive_node_old_forms(DeltaWriter *writer, RegionNode *node, bool apart);
extern int *derive_node_own_names(DeltaWriter *writer);
extern void derive_node_set_names(RegionNode *node, NodeForm form, int *names);
extern int *derive_node_with_names(DeltaWriter *writer, const int *names,
								   RegionNode *node, NodeForm form);
extern ChangeCte *derive_node_find_change(DeltaWriter *writer, RegionNode *node);
extern char *derive_node_left_join(DeltaWriter *writer, const char *left,
								   RegionNode *right, List *conditions, const int *names);
extern char *derive_node_exists(DeltaWriter *writer, RegionNode *node, List *conditions,
								const int *names, const char *behind);
extern void derive_node_add(DeltaWriter *writer, RegionNode *node, NodeForm form,
							const int *names, Piece *piece);

/* algebra_flips.c: rows of outer in one form that gain or lose all matches in inner. */
extern void
derive_algebra_make_flips(DeltaWriter *writer, RegionNode *outer, RegionNode *inner,
						  List *conditions, NodeForm form, int sign, bool nullable,
						  const int *names, Piece *piece);

/* algebra.c: the SELECTs of a change, with UNION ALL between them. */
extern char *
derive_algebra_terms(DeltaWriter *writer, RegionNode *node, List *columns, List *quals);

#endif /* DERIVE_PLAN_ALGEBRA_PRIVATE_H */
