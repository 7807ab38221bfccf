/*-------------------------------------------------------------------------
 *
 * region_text.h
 *	  Parts of a region as text, to be put together by algebra.c; see region_text.c.
 *
 * Where a text can name rows in several ways, names says how: names[occurrence] is 0
 * if the occurrence goes by its own alias, or the number of the node in whose change
 * its columns are found.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_REGION_TEXT_H
#define DERIVE_PLAN_REGION_TEXT_H

#include "plan/region.h"

typedef struct RegionText RegionText;

extern RegionText *derive_text_begin(Region *region, bool pretty);
extern char *derive_text_column_name(int occurrence, int attno);
extern List *derive_text_exposed(Region *region, RegionNode *node);
extern char *derive_text_select_list(RegionText *text, List *columns, const int *names);
extern char *derive_text_expression(RegionText *text, Node *expression, const int *names);
extern char *derive_text_leaf(RegionText *text, int occurrence, const int *names);

/*
 * Records may hold columns of a node's rows, behind a sign.  The alias under which they are
 * rows again, the same with the list of their columns (List of Var), and names by which
 * the node's columns are found there.
 */
extern char *derive_text_records_alias(RegionText *text, RegionNode *node);
extern char *derive_text_records(RegionText *text, RegionNode *node, List *columns);
extern int *
derive_text_names_in_records(RegionText *text, RegionNode *node, const int *names);

extern Var *
derive_text_key_var(RegionText *text, bool candidate, int number, Node *expression);

#endif /* DERIVE_PLAN_REGION_TEXT_H */
