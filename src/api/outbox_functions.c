/*-------------------------------------------------------------------------
 *
 * outbox_functions.c
 *	  derive.create_outbox, drop_outbox, emit, and the trigger on outboxes.
 *
 * create_outbox, in the caller's transaction and with the caller's rights:
 *  1. lock the source against writers, and set its replica identity;
 *  2. make the table and its trigger;
 *  3. check the expressions by planning them;
 *  4. say so in the log, from where on every change of the source is an event, and
 *     note that place in the catalog.
 * Whoever may INSERT into an outbox may emit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "api/outbox_functions.h"
#include "api/view_functions.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/owner.h"
#include "base/wait_event.h"
#include "catalog/dependency.h"
#include "catalog/hidden_parts.h"
#include "catalog/namespace.h"
#include "catalog/outbox_catalog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "catalog/view_catalog.h"
#include "change/message.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "publish/emission.h"
#include "publish/outbox.h"
#include "publish/partitions.h"
#include "shared/commit_hook.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/varlena.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(derive_create_outbox);
PG_FUNCTION_INFO_V1(derive_drop_outbox);
PG_FUNCTION_INFO_V1(derive_emit);
PG_FUNCTION_INFO_V1(derive_reject_outbox_write);
PG_FUNCTION_INFO_V1(derive_event_headers);
PG_FUNCTION_INFO_V1(derive_event_id);

#define AWAIT_PIPELINE 10000 /* ms */

/* Runs one statement with the caller's rights. */
static void
run(const char *sql)
{
	SPI_connect();
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	SPI_finish();
}

/* Says whether an expression looks at other rows than those of its change. */
static bool
looks_elsewhere(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink) || (IsA(node, FuncCall) && ((FuncCall *) node)->over != NULL))
		return true;
	return raw_expression_tree_walker(node, looks_elsewhere, context);
}

/*
 * Checks that a text is one expression and nothing else, so that it can stand between
 * parentheses in a statement and cannot end them.
 */
static void
check_expression(const char *argument, const char *text)
{
	List *parsed;
	SelectStmt *select;
	ResTarget *target = NULL;
	int level;
	bool good;

	if (text == NULL)
		return;
	level = NewGUCNestLevel(); /* the applier reads it with this setting */
	(void) set_config_option("standard_conforming_strings", "on", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	parsed = raw_parser(psprintf("SELECT %s", text), RAW_PARSE_DEFAULT);
	AtEOXact_GUC(false, level);
	select = list_length(parsed) == 1
				 ? (SelectStmt *) linitial_node(RawStmt, parsed)->stmt
				 : NULL;
	good = select != NULL && IsA(select, SelectStmt) && select->op == SETOP_NONE &&
		   list_length(select->targetList) == 1 && select->distinctClause == NIL &&
		   select->intoClause == NULL && select->fromClause == NIL &&
		   select->whereClause == NULL && select->groupClause == NIL &&
		   select->havingClause == NULL && select->windowClause == NIL &&
		   select->valuesLists == NIL && select->sortClause == NIL &&
		   select->limitOffset == NULL && select->limitCount == NULL &&
		   select->lockingClause == NIL && select->withClause == NULL;
	if (good)
	{
		target = linitial_node(ResTarget, select->targetList);
		good = target->name == NULL && target->indirection == NIL;
		if (good && IsA(target->val, ColumnRef))
			good = !IsA(llast(((ColumnRef *) target->val)->fields), A_Star);
	}
	if (!good)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("argument \"%s\" is not an expression", argument),
						errdetail("It is: %s", text),
						errhint("Give one SQL expression, such as (new).id.")));
	if (looks_elsewhere((Node *) target->val, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("argument \"%s\" has a subquery or a window function", argument),
				 errdetail("An event follows from one change alone."),
				 errhint("Create the outbox over a derived view that joins.")));
}

/* Checks for how long events are to be kept. */
static void
check_retain(const Interval *retain)
{
	TimestampTz now = GetCurrentTimestamp();
	Datum then = DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(now),
									 IntervalPGetDatum(retain));

	if (DatumGetTimestampTz(then) > now - USECS_PER_SEC)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("retain must be at least a second")));
}

/*
 * Waits, but not for ever, until the pipeline reads the log: what an outbox's source did
 * before that is lost, and the outbox begins with a gap.  The pipeline itself may wait
 * for this transaction if it has written anything.
 */
static void
await_pipeline(Pipeline *pipeline)
{
	int64 deadline = derive_clock_ms() + AWAIT_PIPELINE;

	ConditionVariablePrepareToSleep(&pipeline->tick_cv);
	while (pipeline->state != PIPELINE_RUNNING &&
		   !TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		   derive_clock_ms() < deadline)
	{
		(void) ConditionVariableTimedSleep(&pipeline->tick_cv, AWAIT_PIPELINE,
										   derive_wait_event(WAIT_PIPELINE));
		CHECK_FOR_INTERRUPTS();
	}
	ConditionVariableCancelSleep();
}

/* Returns an argument of type text, or NULL. */
static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* Checks that a source can be one, and locks it. */
static void
check_source(CatalogOutbox *row)
{
	const AclMode needed = ACL_SELECT | ACL_TRIGGER;
	char kind;

	if (pg_class_aclmask(row->source, GetUserId(), needed, ACLMASK_ALL) != needed)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", get_rel_name(row->source)),
				 errdetail("An outbox needs SELECT and TRIGGER on its source: writers "
						   "wait while it is created, and a derived view waits for it "
						   "whenever it cannot be written.")));
	LockRelationOid(row->source, ShareRowExclusiveLock);
	/* who writes to a partition or an inheritance child locks only that */
	(void) find_all_inheritors(row->source, ShareRowExclusiveLock, NULL);
	kind = get_rel_relkind(row->source);
	row->of_view = derive_catalog_find_view(row->source) != NULL;
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a table", get_rel_name(row->source)),
						errhint("An outbox is over a table, a partitioned table or a "
								"derived view.")));
	if (get_rel_persistence(row->source) != RELPERSISTENCE_PERMANENT)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("outboxes do not support temporary and unlogged tables"),
						errdetail("Changes of \"%s\" are not in the log.",
								  get_rel_name(row->source))));
	if (check_enable_rls(row->source, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("outboxes do not support row-level security"),
						errdetail("Policies of \"%s\" apply to you.",
								  get_rel_name(row->source))));
	if (!row->of_view)
		derive_api_require_full_identity(row->source);
}

/* Makes the table, without partitions, and returns its oid. */
static Oid
make_table(Oid schema, const char *name)
{
	char *qualified = quote_qualified_identifier(get_namespace_name(schema), name);

	run(psprintf(
		"CREATE TABLE %s (position bigint PRIMARY KEY, id uuid NOT NULL,"
		" aggregatetype text NOT NULL, aggregateid text, type text NOT NULL,"
		" payload jsonb, headers jsonb NOT NULL, created_at timestamptz NOT NULL)"
		" PARTITION BY RANGE (position)",
		qualified));
	derive_partition_guard(qualified);
	return get_relname_relid(name, schema);
}

/* Makes the table where the name says. */
static Oid
make_named_table(const char *name)
{
	RangeVar *rv = makeRangeVarFromNameList(
		textToQualifiedNameList(cstring_to_text(name)));

	return make_table(RangeVarGetCreationNamespace(rv), rv->relname);
}

/* Makes a table of the caller's in derive_state, where the caller may create nothing. */
static Oid
make_hidden_table(int64 id)
{
	Oid caller = GetUserId();
	OwnerScope scope;
	Oid relid;

	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	relid = make_table(get_namespace_oid(DERIVE_STATE_SCHEMA, false),
					   psprintf("processor_" INT64_FORMAT, id));
	ATExecChangeOwner(relid, caller, false, AccessExclusiveLock);
	CommandCounterIncrement();
	derive_owner_leave(&scope);
	return relid;
}

/* Announces an outbox in the log and returns the place. */
static XLogRecPtr
announce(const CatalogOutbox *row)
{
	OutboxAnnouncement announcement = {0};

	announcement.outbox = row->id;
	announcement.source = row->of_view ? InvalidOid : row->source;
	return derive_message_send(DERIVE_MESSAGE_OUTBOX, (const char *) &announcement,
							   sizeof(announcement), derive_catalog_secret());
}

/* Creates an outbox, see outbox_functions.h. */
void
derive_api_create_outbox(CatalogOutbox *row, const char *name, Datum retain)
{
	await_pipeline(derive_api_pipeline());
	check_expression("key", row->key);
	check_expression("payload", row->payload);
	check_expression("filter", row->filter);
	row->path = GetConfigOptionByName("search_path", NULL, false);
	if (OidIsValid(row->source))
		check_source(row);
	else if (row->key != NULL || row->payload != NULL || row->filter != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("an outbox without a source has no expressions")));
	if (row->topic == NULL)
		row->topic = OidIsValid(row->source) ? get_rel_name(row->source) : pstrdup(name);
	row->id = derive_catalog_next_outbox_id();
	row->outbox = name != NULL ? make_named_table(name) : make_hidden_table(row->id);
	derive_partition_make(row->outbox, row->id, 1);
	derive_outbox_check(row);
	if (OidIsValid(row->source))
		derive_hidden_parts_tie_outbox(row->outbox, RelationRelationId, row->source);
	row->created_xid = U64FromFullTransactionId(GetTopFullTransactionId());
	row->published = announce(row);
	derive_catalog_insert_outbox(row, retain);
	derive_commit_hook_catalog_changed(false);
}

/* derive.create_outbox(name, source, topic, key, payload, filter, retain) → regclass */
Datum
derive_create_outbox(PG_FUNCTION_ARGS)
{
	CatalogOutbox row = {0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(6))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("name and retain must not be null")));
	check_retain(PG_GETARG_INTERVAL_P(6));
	row.source = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);
	row.topic = text_argument(fcinfo, 2);
	row.key = text_argument(fcinfo, 3);
	row.payload = text_argument(fcinfo, 4);
	row.filter = text_argument(fcinfo, 5);
	derive_api_create_outbox(&row, text_argument(fcinfo, 0), PG_GETARG_DATUM(6));
	PG_RETURN_OID(row.outbox);
}

CatalogOutbox *
derive_api_find_outbox(Oid outbox)
{
	CatalogOutbox *row = derive_catalog_find_outbox(outbox);
	char *name = get_rel_name(outbox);

	if (row == NULL)
		ereport(ERROR, (errcode(name == NULL ? ERRCODE_UNDEFINED_TABLE
											 : ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not an outbox",
							   name != NULL ? name : psprintf("%u", outbox)),
						errhint("Outboxes are listed in derive.outboxes.")));
	return row;
}

/* derive.drop_outbox: as DROP TABLE; the object access hook does the rest. */
Datum
derive_drop_outbox(PG_FUNCTION_ARGS)
{
	Oid outbox = PG_GETARG_OID(0);
	ObjectAddress object;

	derive_api_find_outbox(outbox);
	if (!pg_class_ownercheck(outbox, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(outbox));
	ObjectAddressSet(object, RelationRelationId, outbox);
	performDeletion(&object, DROP_RESTRICT, 0);
	PG_RETURN_VOID();
}

/* Statement trigger on every outbox: only the applier writes. */
Datum
derive_reject_outbox_write(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a trigger",
							   "derive_state.reject_outbox_write")));
	if (!derive_outbox_is_writing(RelationGetRelid(trigger->tg_relation)))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("cannot change outbox \"%s\"",
							   RelationGetRelationName(trigger->tg_relation)),
						errdetail("Its rows follow from what happens to its source."),
						errhint("derive.emit writes an event of your own.")));
	PG_RETURN_POINTER(NULL);
}

/*
 * Makes the id of an event: 48 bits of the LSN, 32 of the ordinal and 42 of a hash of all
 * three, between the six that say "version 8" (RFC 9562).  So ids rise with positions, and
 * an index on them grows at its end.
 */
static void
make_event_id(const char *outbox, int len, uint64 lsn, uint64 ordinal, pg_uuid_t *id)
{
	uint64 hash = hash_bytes_extended((const unsigned char *) outbox, len, lsn);

	hash = hash_bytes_extended((unsigned char *) &ordinal, sizeof(ordinal), hash);
	hash &= UINT64CONST(0x3FFFFFFFFFF);
	for (int i = 0; i < 6; i++)
		id->data[i] = lsn >> (40 - 8 * i);
	id->data[6] = 0x80 | ((ordinal >> 28) & 0x0F);
	id->data[7] = ordinal >> 20;
	id->data[8] = 0x80 | ((ordinal >> 14) & 0x3F);
	id->data[9] = ordinal >> 6;
	id->data[10] = (ordinal & 0x3F) << 2 | hash >> 40;
	for (int i = 0; i < 5; i++)
		id->data[11 + i] = hash >> (32 - 8 * i);
}

/* derive_state.event_id(outbox, lsn, ordinal) → uuid */
Datum
derive_event_id(PG_FUNCTION_ARGS)
{
	text *outbox = PG_GETARG_TEXT_PP(0);
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));

	make_event_id(VARDATA_ANY(outbox), VARSIZE_ANY_EXHDR(outbox), PG_GETARG_LSN(1),
				  (uint64) PG_GETARG_INT64(2), id);
	PG_RETURN_UUID_P(id);
}

/* Throws if a caller's id is one that a change will have: there would be no room for that. */
static void
check_id(const CatalogOutbox *row, const pg_uuid_t *id)
{
	char *outbox = psprintf("%s:" INT64_FORMAT, derive_catalog_home(), row->id);
	const unsigned char *d = id->data;
	uint64 lsn = 0;
	uint64 ordinal = (uint64) (d[6] & 0x0F) << 28 | (uint64) d[7] << 20 |
					 (uint64) (d[8] & 0x3F) << 14 | (uint64) d[9] << 6 | d[10] >> 2;
	pg_uuid_t taken;

	for (int i = 0; i < 6; i++)
		lsn = lsn << 8 | d[i];
	make_event_id(outbox, strlen(outbox), lsn, ordinal, &taken);
	if (memcmp(&taken, id, sizeof(taken)) == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("id %s is not for emitted events",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)))),
			 errdetail("It belongs to a place in the log."),
			 errhint("Give another one, or none.")));
}

/* derive.emit(topic, key, payload, outbox, id) */
Datum
derive_emit(PG_FUNCTION_ARGS)
{
	Emission emission = {0};
	CatalogOutbox *row;
	AclResult acl;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("topic must not be null")));
	row = PG_ARGISNULL(3) ? derive_catalog_default_outbox()
						  : derive_api_find_outbox(PG_GETARG_OID(3));
	if (row == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("there is no single outbox without a source to emit to"),
						errhint("Name the outbox, or create one: "
								"SELECT derive.create_outbox('events', NULL);")));
	acl = pg_class_aclcheck(row->outbox, GetUserId(), ACL_INSERT);
	if (acl != ACLCHECK_OK)
		aclcheck_error(acl, OBJECT_TABLE, get_rel_name(row->outbox));
	emission.outbox = row->id;
	emission.topic = text_argument(fcinfo, 0);
	emission.key = text_argument(fcinfo, 1);
	if (!PG_ARGISNULL(2))
		emission.payload = DatumGetCString(
			DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(2)));
	emission.has_id = !PG_ARGISNULL(4);
	if (emission.has_id)
	{
		emission.id = *PG_GETARG_UUID_P(4);
		check_id(row, &emission.id);
	}
	derive_emission_send(&emission, derive_catalog_secret());
	PG_RETURN_VOID();
}

/* Adds a value to an object under construction, unless it is NULL. */
static void
push(JsonbParseState **state, const char *name, const char *text, Datum number,
	 bool isnull)
{
	JsonbValue value;

	if (isnull)
		return;
	value.type = jbvString;
	value.val.string.val = unconstify(char *, name);
	value.val.string.len = strlen(name);
	pushJsonbValue(state, WJB_KEY, &value);
	if (text != NULL)
	{
		value.val.string.val = unconstify(char *, text);
		value.val.string.len = strlen(text);
	}
	else
	{
		value.type = jbvNumeric;
		value.val.numeric = int64_to_numeric(DatumGetInt64(number));
	}
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* derive_state.event_headers(lsn, ordinal, xid, at, request, error) → jsonb */
Datum
derive_event_headers(PG_FUNCTION_ARGS)
{
	JsonbParseState *state = NULL;
	char *request = text_argument(fcinfo, 4);
	char *error = text_argument(fcinfo, 5);
	Datum at = PG_GETARG_DATUM(3);
	char time[MAXDATELEN + 1];

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push(&state, "commit_lsn",
		 DatumGetCString(DirectFunctionCall1(pg_lsn_out, PG_GETARG_DATUM(0))), 0, false);
	push(&state, "ordinal", NULL, PG_GETARG_DATUM(1), false);
	push(&state, "xid", NULL, PG_GETARG_DATUM(2), PG_ARGISNULL(2));
	push(&state, "commit_time", JsonEncodeDateTime(time, at, TIMESTAMPTZOID, NULL), 0,
		 false);
	push(&state, "request_id", request, 0, request == NULL);
	push(&state, "error", error, 0, error == NULL);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
