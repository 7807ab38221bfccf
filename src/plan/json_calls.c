/*-------------------------------------------------------------------------
 *
 * json_calls.c
 *	  Calls of core's stable JSON functions that are immutable after all.
 *
 * Core declares what turns SQL values into JSON (to_jsonb, jsonb_agg and so on) as
 * stable, because they take values of any type, and the text of some types depends on
 * settings: timestamptz on TimeZone, floats on extra_float_digits, types of users on
 * whatever their output functions do.  For most types nothing of that kind can happen.
 * (JSON has dates in ISO form, whatever DateStyle says.)
 *
 * JSON holds names of columns and of enum values, which their owners may change at any time:
 * whoever keeps such JSON asks for a hash of these names and compares it later.
 *
 * Runs where plans are made; syscache lookups only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/tupdesc.h"
#include "catalog/pg_class.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "plan/json_calls.h"
#include "plan/sources.h"

/*
 * True if a function is one of core's that turn values into JSON.
 */
static bool
makes_json(Oid function)
{
	static const char *const names[] = {
		"array_to_json",
		"json_agg",
		"json_agg_strict",
		"json_build_array",
		"json_build_object",
		"json_object_agg",
		"json_object_agg_strict",
		"json_object_agg_unique",
		"json_object_agg_unique_strict",
		"jsonb_agg",
		"jsonb_agg_strict",
		"jsonb_build_array",
		"jsonb_build_object",
		"jsonb_object_agg",
		"jsonb_object_agg_strict",
		"jsonb_object_agg_unique",
		"jsonb_object_agg_unique_strict",
		"row_to_json",
		"to_json",
		"to_jsonb",
	};
	char *name;

	if (function >= FirstGenbkiObjectId)
		return false;
	name = get_func_name(function);
	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/*
 * True if values of a type always look the same in JSON.  The rows of an ordinary view do
 * not: it is expanded, and its columns get other names; so do those of what is copied.
 */
static bool
type_is_fixed(Oid type)
{
	Oid element;
	Oid relid;
	TupleDesc desc;
	bool fixed = true;

	type = getBaseType(type);
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case JSONOID:
		case JSONBOID:
		case UUIDOID:
		case DATEOID:
		case TIMESTAMPOID:
		case UNKNOWNOID:
			return true;
		default:
			break;
	}
	element = get_element_type(type);
	if (OidIsValid(element))
		return type_is_fixed(element);
	if (get_typtype(type) == TYPTYPE_ENUM)
		return true;
	if (get_typtype(type) != TYPTYPE_COMPOSITE)
		return false;
	relid = get_typ_typrelid(type);
	if (get_rel_relkind(relid) == RELKIND_VIEW || derive_sources_is_silent(relid))
		return false;

	desc = lookup_rowtype_tupdesc(type, -1);
	for (int i = 0; i < desc->natts; i++)
		fixed &= TupleDescAttr(desc, i)->attisdropped ||
				 type_is_fixed(TupleDescAttr(desc, i)->atttypid);
	ReleaseTupleDesc(desc);
	return fixed;
}

/*
 * True if all values of a list of expressions (or TargetEntries) look the same in JSON.
 */
static bool
arguments_are_fixed(List *arguments)
{
	ListCell *lc;

	foreach (lc, arguments)
	{
		Node *argument = (Node *) lfirst(lc);

		if (IsA(argument, TargetEntry))
		{
			if (((TargetEntry *) argument)->resjunk)
				continue;
			argument = (Node *) ((TargetEntry *) argument)->expr;
		}
		if (IsA(argument, RowExpr) ? !arguments_are_fixed(((RowExpr *) argument)->args)
								   : !type_is_fixed(exprType(argument)))
			return false;
	}
	return true;
}

/*
 * Splits a call into function and arguments; InvalidOid if the node is none.
 */
static Oid
split_call(Node *node, List **arguments)
{
	if (IsA(node, FuncExpr))
	{
		*arguments = ((FuncExpr *) node)->args;
		return ((FuncExpr *) node)->funcid;
	}
	if (IsA(node, Aggref))
	{
		*arguments = ((Aggref *) node)->args;
		return ((Aggref *) node)->aggfnoid;
	}
	if (IsA(node, WindowFunc))
	{
		*arguments = ((WindowFunc *) node)->args;
		return ((WindowFunc *) node)->winfnoid;
	}
	return InvalidOid;
}

/*
 * True if a node is a call that makes JSON out of values for which that does not
 * depend on settings.
 */
bool
derive_json_is_fixed(Node *node)
{
	List *arguments = NIL;
	Oid function = split_call(node, &arguments);

	return OidIsValid(function) && makes_json(function) && arguments_are_fixed(arguments);
}

/*
 * Replaces such calls by an expression of the same type over their arguments; a mutator.
 */
static Node *
blank_mutator(Node *node, void *context)
{
	List *arguments = NIL;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, blank_mutator, context,
										   QTW_IGNORE_JOINALIASES);
	if (derive_json_is_fixed(node))
	{
		CoalesceExpr *blank = makeNode(CoalesceExpr);

		split_call(node, &arguments);
		blank->coalescetype = exprType(node);
		blank->args = (List *) expression_tree_mutator((Node *) arguments, blank_mutator,
													   context);
		blank->location = -1;
		return (Node *) blank;
	}
	return expression_tree_mutator(node, blank_mutator, context);
}

/*
 * Returns a copy of an expression or a query without such calls, which is only good
 * for being walked over.
 */
Node *
derive_json_blank(Node *node)
{
	return blank_mutator(node, NULL);
}

/* What a walk over a query has found. */
typedef struct JsonNames
{
	uint32 hash;	/* 0: no JSON is made */
	List *rowtypes; /* relations (oids) whose rows have such names */
} JsonNames;

/*
 * Adds the hash of the values of an enum, in any order.
 */
static void
add_enum(JsonNames *names, Oid type)
{
	CatCList *values = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(type));

	for (int i = 0; i < values->n_members; i++)
	{
		Form_pg_enum value = (Form_pg_enum) GETSTRUCT(&values->members[i]->tuple);

		names->hash += hash_combine(hash_uint32(value->oid),
									string_hash(NameStr(value->enumlabel), NAMEDATALEN));
	}
	ReleaseSysCacheList(values);
}

/*
 * Adds the names that JSON of a type's values has, and the types of what they name.
 */
static void
add_type(JsonNames *names, Oid type)
{
	Oid element;
	TupleDesc desc;

	type = getBaseType(type);
	names->hash = hash_combine(names->hash, hash_uint32(type)) | 1;
	element = get_element_type(type);
	if (OidIsValid(element))
		add_type(names, element);
	else if (get_typtype(type) == TYPTYPE_ENUM)
		add_enum(names, type);
	if (get_typtype(type) != TYPTYPE_COMPOSITE)
		return;

	names->rowtypes = list_append_unique_oid(names->rowtypes, get_typ_typrelid(type));
	desc = lookup_rowtype_tupdesc(type, -1);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		names->hash = hash_combine(names->hash,
								   string_hash(NameStr(att->attname), NAMEDATALEN));
		add_type(names, att->atttypid);
	}
	ReleaseTupleDesc(desc);
}

/*
 * Adds the names in JSON of a list of expressions (or TargetEntries).
 */
static void
add_arguments(JsonNames *names, List *arguments)
{
	ListCell *lc;

	foreach (lc, arguments)
	{
		Node *argument = (Node *) lfirst(lc);

		if (IsA(argument, TargetEntry))
			argument = (Node *) ((TargetEntry *) argument)->expr;
		if (IsA(argument, RowExpr))
			add_arguments(names, ((RowExpr *) argument)->args);
		else
			add_type(names, exprType(argument));
	}
}

/*
 * Adds the names in what calls in a query make; a walker.
 */
static bool
names_walker(Node *node, JsonNames *names)
{
	List *arguments = NIL;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, names_walker, names,
								 QTW_IGNORE_JOINALIASES);
	if (derive_json_is_fixed(node))
	{
		split_call(node, &arguments);
		add_arguments(names, arguments);
	}
	return expression_tree_walker(node, names_walker, names);
}

/*
 * Returns a hash of the names that JSON made by a query holds, 0 if there is no JSON, and
 * the relations (oids) some of these are columns of.
 */
uint32
derive_json_names(Query *query, List **rowtypes)
{
	JsonNames names = {0};

	names_walker((Node *) query, &names);
	*rowtypes = names.rowtypes;
	return names.hash;
}
