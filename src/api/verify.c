/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  derive.verify: compares a view with its query.
 *
 * It needs the right to read the view, since it shows rows of it.  The comparison
 * itself is in src/audit/verify.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/view_functions.h"
#include "audit/verify.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(derive_verify);

Datum
derive_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Pipeline *pipeline = derive_api_pipeline();
	CatalogView *view = derive_api_readable_view(PG_GETARG_OID(0));

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	derive_verify_view(pipeline, view, rsinfo->setResult, rsinfo->setDesc);
	SPI_finish();
	return (Datum) 0;
}
