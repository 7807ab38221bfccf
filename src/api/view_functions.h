/*-------------------------------------------------------------------------
 *
 * view_functions.h
 *	  What the SQL functions about views share, see view_functions.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_API_VIEW_FUNCTIONS_H
#define DERIVE_API_VIEW_FUNCTIONS_H

#include "catalog/view_catalog.h"
#include "plan/plan.h"
#include "shared/pipeline.h"

extern void derive_api_check_server(void);
extern Pipeline *derive_api_pipeline(void);
extern CatalogView *derive_api_owned_view(Oid view);
extern CatalogView *derive_api_readable_view(Oid view);
extern const char *derive_api_reason(Oid view, const char *reason);

/* create_view.c */
extern List *derive_api_explain_query(char *text);

/* identity.c */

/*
 * Makes sure that a table and its partitions log old rows in full: sets the replica identity
 * if the current user may, or throws.
 */
extern void derive_api_require_full_identity(Oid relid);

/* explain.c */
extern List *derive_api_explain_stage(List *lines, int number, Oid relid, ViewPlan *plan);

#endif /* DERIVE_API_VIEW_FUNCTIONS_H */
