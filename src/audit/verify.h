/*-------------------------------------------------------------------------
 *
 * verify.h
 *	  Comparing a view with its query at the view's own frontier, see verify.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_AUDIT_VERIFY_H
#define DERIVE_AUDIT_VERIFY_H

#include "catalog/view_catalog.h"
#include "shared/pipeline.h"
#include "utils/tuplestore.h"

/*
 * Adds one row (kind text, difference int8, row jsonb) for each row that the view
 * lacks or has too much.  The caller is connected to SPI and holds the snapshot of
 * the calling statement.
 */
extern void derive_verify_view(Pipeline *pipeline, const CatalogView *view,
							   Tuplestorestate *result, TupleDesc desc);

#endif /* DERIVE_AUDIT_VERIFY_H */
