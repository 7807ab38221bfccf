/*-------------------------------------------------------------------------
 *
 * processor_functions.c
 *	  derive.create_processor, drop_processor, pause_processor, resume_processor.
 *
 * A processor is made of an outbox in derive_state, whose events are whole rows, and a
 * consumer of it.  Both belong to whoever creates it, as whom its handler will run; so the
 * creator must be allowed to call that.  The outbox's table depends on the source and on
 * the handler, so that neither can be dropped without it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "api/outbox_functions.h"
#include "base/compat.h"
#include "base/owner.h"
#include "catalog/dependency.h"
#include "catalog/hidden_parts.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "catalog/processor_catalog.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "shared/commit_hook.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(derive_create_processor);
PG_FUNCTION_INFO_V1(derive_drop_processor);
PG_FUNCTION_INFO_V1(derive_pause_processor);
PG_FUNCTION_INFO_V1(derive_resume_processor);

/* For how long events are kept that have been handled; others are kept for ever. */
#define RETAIN "1 hour"

/* Checks that a function can be the handler of a source's changes, and the caller's. */
static void
check_handler(Oid handler, Oid source)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(handler));
	Oid row = get_rel_type_id(source);
	Oid expected[4] = {TEXTOID, row, row, JSONBOID};
	Form_pg_proc proc;
	AclResult acl;
	bool good;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("function %u does not exist", handler)));
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	good = proc->prokind == PROKIND_FUNCTION && !proc->proretset && !proc->proisstrict &&
		   proc->prorettype == VOIDOID && proc->pronargs == 4 &&
		   memcmp(proc->proargtypes.values, expected, sizeof(expected)) == 0;
	ReleaseSysCache(tuple);
	if (!good)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
			 errmsg("function %s cannot be a handler", format_procedure(handler)),
			 errdetail("A handler of \"%s\" has arguments (text, %s, %s, jsonb), "
					   "returns void, and is not STRICT.",
					   get_rel_name(source), format_type_be(row), format_type_be(row))));
	acl = pg_proc_aclcheck(handler, GetUserId(), ACL_EXECUTE);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_FUNCTION, get_func_name(handler));
}

/* Makes the processor's consumer; throws for numbers that are wrong. */
static void
add_consumer(int64 id, FunctionCallInfo fcinfo)
{
	Oid types[5] = {INT8OID, TEXTOID, OIDOID, INT4OID, INTERVALOID};
	Datum values[5];
	OwnerScope scope;

	values[0] = Int64GetDatum(id);
	values[1] = PG_GETARG_DATUM(0);
	values[2] = ObjectIdGetDatum(GetUserId());
	values[3] = PG_GETARG_DATUM(4);
	values[4] = PG_GETARG_DATUM(5);
	SPI_connect();
	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	if (SPI_execute_with_args(
			"SELECT derive_state.add_consumer($1, $2, $3, 'earliest', $4, $5)", 5, types,
			values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not make the consumer of a processor");
	derive_owner_leave(&scope);
	SPI_finish();
}

/* derive.create_processor(name, source, handler, key, max_attempts, backoff) */
Datum
derive_create_processor(PG_FUNCTION_ARGS)
{
	CatalogOutbox row = {0};
	Oid handler;

	for (int i = 0; i < 6; i++)
		if (i != 3 && PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("only the key of a processor may be null")));
	row.source = PG_GETARG_OID(1);
	handler = PG_GETARG_OID(2);
	if (get_rel_name(row.source) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation %u does not exist", row.source)));
	check_handler(handler, row.source);
	row.topic = text_to_cstring(PG_GETARG_TEXT_PP(0));
	row.key = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	row.payload = DERIVE_WHOLE_ROWS;
	derive_api_create_outbox(&row, NULL,
							 DirectFunctionCall3(interval_in, CStringGetDatum(RETAIN),
												 ObjectIdGetDatum(InvalidOid), -1));
	derive_hidden_parts_tie_outbox(row.outbox, ProcedureRelationId, handler);
	add_consumer(row.id, fcinfo);
	derive_catalog_insert_processor(row.id, row.topic, handler);
	PG_RETURN_VOID();
}

/* Returns the processor that an argument names, if it is the caller's; throws if not. */
static CatalogProcessor *
own_processor(FunctionCallInfo fcinfo)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	CatalogProcessor *processor = derive_catalog_find_processor(name);

	if (processor == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("there is no processor \"%s\"", name),
						errhint("Processors are listed in derive.processors.")));
	if (!pg_class_ownercheck(processor->outbox, GetUserId()))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be owner of processor \"%s\"", name)));
	return processor;
}

/* derive.drop_processor(name): drops its outbox; the object access hook does the rest. */
Datum
derive_drop_processor(PG_FUNCTION_ARGS)
{
	ObjectAddress table;

	ObjectAddressSet(table, RelationRelationId, own_processor(fcinfo)->outbox);
	performDeletion(&table, DROP_RESTRICT, 0);
	PG_RETURN_VOID();
}

/* derive.pause_processor(name) */
Datum
derive_pause_processor(PG_FUNCTION_ARGS)
{
	derive_catalog_pause_processor(own_processor(fcinfo)->id, true);
	derive_commit_hook_catalog_changed(false);
	PG_RETURN_VOID();
}

/* derive.resume_processor(name) */
Datum
derive_resume_processor(PG_FUNCTION_ARGS)
{
	derive_catalog_pause_processor(own_processor(fcinfo)->id, false);
	derive_commit_hook_catalog_changed(false);
	PG_RETURN_VOID();
}
