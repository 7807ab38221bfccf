/*-------------------------------------------------------------------------
 *
 * new_view.h
 *	  The making of a view's hidden parts, shared by create_view.c and redefine.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_API_NEW_VIEW_H
#define DERIVE_API_NEW_VIEW_H

#include "catalog/view_catalog.h"
#include "plan/plan.h"

/* What is known and made so far of a view, or of one of its stages, that is being made. */
typedef struct NewView
{
	char *schema;
	char *name;
	Query *query;
	Query *block; /* what is maintained: the query, or its last block */
	ViewPlan *plan;
	CatalogNewView row;
	int64 number;		  /* in the names of its hidden parts */
	bool explain;		  /* only to be explained: the sources are left alone */
	struct NewView *root; /* of a stage: its view */
	List *stages;		  /* of a view: NewView of each stage */
} NewView;

/* These are in create_view.c; an SPI connection must be there. */

/* Runs a statement. */
extern void derive_new_view_run(const char *sql);

/* Makes an object depend on the view's table, so that it goes with it and not without it. */
extern void derive_new_view_depend(NewView *view, Oid class_id, Oid object_id);

/* Cuts the view's query into blocks and makes their stages; plans the last block. */
extern void derive_new_view_make_stages(NewView *view);

/* Creates what holds a block, if it is not the query, and the state of an aggregate. */
extern void derive_new_view_create_block(NewView *view, Oid owner);

/* These are in new_view_indexes.c. */

/* Gives the view's table the indexes by which rows and parts are found. */
extern void derive_new_view_create_indexes(NewView *view);

/* Creates the indexes on stages by which a plan looks rows up. */
extern void derive_new_view_index_stages(ViewPlan *plan);

/* These are in identity.c. */

/*
 * Makes a plan follow the keys of changed rows if its table does not log old rows as far as
 * they are read, but a key that the plan shows; returns the columns that show it, or NIL.
 */
extern List *derive_new_view_follow_keys(ViewPlan *plan);

/* Makes sure that all sources log old rows as far as the view needs them. */
extern void derive_new_view_check_identities(NewView *view);

#endif /* DERIVE_API_NEW_VIEW_H */
