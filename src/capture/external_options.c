/*-------------------------------------------------------------------------
 *
 * external_options.c
 *	  The output plugin's options for consumers outside.
 *
 * One table says which options there are, in which formats, and what they set.  The format
 * is read first, since the others depend on it.  Nothing is ignored: an option that is
 * unknown, belongs to another format, is given twice or has a value that makes no sense
 * is an error, because a consumer that gets something else than it asked for may notice
 * only when it is too late.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/external_options.h"

#include "change/pattern.h"
#include "change/text_stream.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"

static const TextFormat *const formats[] = {
	&derive_format_cloudevents,
	&derive_format_debezium,
	&derive_format_json,
	&derive_format_wal2json,
};

/* Bits: formats that know an option, by their place above. */
#define CLOUDEVENTS 0x01
#define DEBEZIUM 0x02
#define JSON 0x04
#define WAL2JSON 0x08
#define ALL_FORMATS 0x0f

typedef enum OptionKind
{
	OPTION_BOOL,
	OPTION_EXCLUDE,		   /* a list in wal2json's manner of what is left out */
	OPTION_FORMAT,		   /* read beforehand */
	OPTION_FORMAT_VERSION, /* of wal2json: 2 */
	OPTION_INCLUDE,		   /* a list in wal2json's manner of what is sent */
	OPTION_OPERATIONS,
	OPTION_ORIGINS,
	OPTION_PATTERNS,
	OPTION_TEXT
} OptionKind;

typedef struct OptionDefinition
{
	const char *name;
	int formats;
	OptionKind kind;
	Size offset; /* in TextOptions */
	int nparts;	 /* of the names in a list */
} OptionDefinition;

#define FIELD(field) offsetof(TextOptions, field)

static const OptionDefinition definitions[] = {
	{"actions", WAL2JSON, OPTION_OPERATIONS},
	{"add-msg-prefixes", WAL2JSON, OPTION_INCLUDE, FIELD(messages), 1},
	{"add-tables", WAL2JSON, OPTION_INCLUDE, FIELD(tables), 2},
	{"columns", ALL_FORMATS, OPTION_PATTERNS, FIELD(columns), 3},
	{"filter-msg-prefixes", WAL2JSON, OPTION_EXCLUDE, FIELD(messages), 1},
	{"filter-origins", WAL2JSON, OPTION_EXCLUDE, FIELD(origins), 1},
	{"filter-tables", WAL2JSON, OPTION_EXCLUDE, FIELD(tables), 2},
	{"format", ALL_FORMATS, OPTION_FORMAT},
	{"format-version", WAL2JSON, OPTION_FORMAT_VERSION},
	{"include-lsn", WAL2JSON, OPTION_BOOL, FIELD(include_lsn)},
	{"include-origin", WAL2JSON, OPTION_BOOL, FIELD(include_origin)},
	{"include-pk", WAL2JSON, OPTION_BOOL, FIELD(include_pk)},
	{"include-schemas", WAL2JSON, OPTION_BOOL, FIELD(include_schemas)},
	{"include-timestamp", WAL2JSON, OPTION_BOOL, FIELD(include_timestamp)},
	{"include-transaction", WAL2JSON, OPTION_BOOL, FIELD(include_transaction)},
	{"include-types", WAL2JSON, OPTION_BOOL, FIELD(include_types)},
	{"include-typmod", WAL2JSON, OPTION_BOOL, FIELD(include_typmod)},
	{"include-xids", WAL2JSON, OPTION_BOOL, FIELD(include_xids)},
	{"keys", DEBEZIUM, OPTION_BOOL, FIELD(keys)},
	{"messages", ALL_FORMATS, OPTION_PATTERNS, FIELD(messages), 1},
	{"operations", ALL_FORMATS, OPTION_OPERATIONS},
	{"origins", ALL_FORMATS, OPTION_ORIGINS},
	{"snapshot_marks", ALL_FORMATS, OPTION_BOOL, FIELD(snapshot_marks)},
	{"source", CLOUDEVENTS | DEBEZIUM, OPTION_TEXT, FIELD(source)},
	{"streaming", ALL_FORMATS, OPTION_BOOL, FIELD(streaming)},
	{"tables", ALL_FORMATS, OPTION_PATTERNS, FIELD(tables), 2},
	{"tombstones", DEBEZIUM, OPTION_BOOL, FIELD(tombstones)},
	{"transaction_metadata", DEBEZIUM, OPTION_BOOL, FIELD(transaction_metadata)},
};

/* Returns the value of an option, or NULL if it was given without one. */
static const char *
get_value(const DefElem *given)
{
	return given->arg ? strVal(given->arg) : NULL;
}

/* Throws: the value of an option is not valid. */
static void
invalid_value(const DefElem *given, const char *hint)
{
	const char *value = get_value(given);

	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					value ? errmsg("invalid value for option \"%s\": \"%s\"",
								   given->defname, value)
						  : errmsg("option \"%s\" needs a value", given->defname),
					errhint("%s", hint)));
}

/* Returns the format that was asked for, json if none was. */
static const TextFormat *
find_format(List *given)
{
	const TextFormat *found = &derive_format_json;
	ListCell *lc;

	foreach (lc, given)
	{
		DefElem *option = lfirst(lc);
		const char *value = get_value(option);

		if (strcmp(option->defname, "format") != 0)
			continue;
		found = NULL;
		for (int i = 0; value && i < lengthof(formats); i++)
			if (strcmp(formats[i]->name, value) == 0)
				found = formats[i];
		if (found == NULL)
			invalid_value(
				option,
				"Formats are \"cloudevents\", \"debezium\", \"json\", \"wal2json\".");
	}
	return found;
}

/* Returns the bit of a format. */
static int
format_bit(const TextFormat *format)
{
	for (int i = 0; i < lengthof(formats); i++)
		if (formats[i] == format)
			return 1 << i;
	pg_unreachable();
}

/* Appends a name to a list of names in quotes. */
static void
append_name(StringInfo names, const char *name)
{
	appendStringInfo(names, "%s\"%s\"", names->len > 0 ? ", " : "", name);
}

/* Throws: a format has no such option, but maybe others have. */
static void
unknown_option(const TextFormat *format, const char *name, int other_formats)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(formats); i++)
		if (other_formats & (1 << i))
			append_name(&names, formats[i]->name);
	if (other_formats != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" is not one of format \"%s\"", name, format->name),
				 errhint("It belongs to %s.", names.data)));
	for (int i = 0; i < lengthof(definitions); i++)
		if (definitions[i].formats & format_bit(format))
			append_name(&names, definitions[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown option \"%s\" of output plugin pg_derive", name),
			 errhint("Options of format \"%s\" are %s.", format->name, names.data)));
}

/* Returns the definition of an option that a format knows. */
static const OptionDefinition *
find_definition(const TextFormat *format, const char *name)
{
	int other_formats = 0;

	for (int i = 0; i < lengthof(definitions); i++)
	{
		if (strcmp(definitions[i].name, name) != 0)
			continue;
		if (definitions[i].formats & format_bit(format))
			return &definitions[i];
		other_formats = definitions[i].formats;
	}
	unknown_option(format, name, other_formats);
	pg_unreachable();
}

/* Returns the bit of an operation's name, or 0. */
static int
operation_bit(const char *name, int len)
{
	static const struct
	{
		const char *name;
		int bit;
	} operations[] = {{"insert", OPERATION_INSERT},
					  {"update", OPERATION_UPDATE},
					  {"delete", OPERATION_DELETE},
					  {"truncate", OPERATION_TRUNCATE}};

	for (int i = 0; i < lengthof(operations); i++)
		if (strlen(operations[i].name) == len &&
			strncmp(operations[i].name, name, len) == 0)
			return operations[i].bit;
	return 0;
}

/* Reads a list of operations. */
static int
read_operations(const DefElem *given)
{
	const char *at = get_value(given);
	int operations = 0;

	while (at)
	{
		int bit;

		at += strspn(at, " ");
		bit = operation_bit(at, strcspn(at, ", "));
		at += strcspn(at, ", ");
		at += strspn(at, " ");
		if (bit == 0 || (*at != ',' && *at != '\0'))
			at = NULL;
		else
		{
			operations |= bit;
			if (*at == '\0')
				return operations;
			at++;
		}
	}
	invalid_value(given,
				  "Operations are \"insert\", \"update\", \"delete\", \"truncate\", "
				  "separated by commas.");
	pg_unreachable();
}

/* Reads a list of names. */
static void
read_names(const DefElem *given, const OptionDefinition *definition, List **patterns)
{
	const char *value = get_value(given);
	const char *problem = "a list of names is expected";

	if (value && definition->kind == OPTION_PATTERNS)
		problem = derive_pattern_read(value, definition->nparts, patterns);
	else if (value)
		problem = derive_pattern_read_wal2json(
			value, definition->nparts, definition->kind == OPTION_EXCLUDE, patterns);
	if (problem == NULL && *patterns == NIL && definition->kind == OPTION_INCLUDE)
		problem = "a name is empty"; /* it would choose nothing, not all */
	if (problem == NULL)
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("invalid value for option \"%s\": \"%s\"", given->defname,
				value ? value : ""),
		 errdetail("In this list, %s.", problem),
		 definition->kind == OPTION_PATTERNS
			 ? errhint("Write names or patterns such as %s, separated by commas; \"!\" "
					   "before one excludes.",
					   definition->nparts == 3	 ? "public.orders.id, public.users.*"
					   : definition->nparts == 2 ? "public.orders, sales.*"
												 : "audit, app*")
			 : errhint("Write names such as %s, separated by commas.",
					   definition->nparts == 2 ? "public.orders, sales.*" : "audit")));
}

/* Reads which origins are sent: "any", "none" (only what was written here), or patterns. */
static void
read_origins(const DefElem *given, TextOptions *options)
{
	static const OptionDefinition names = {.kind = OPTION_PATTERNS, .nparts = 1};
	const char *value = get_value(given);

	if (value && strcmp(value, "any") == 0)
		return;
	options->local_only = value && strcmp(value, "none") == 0;
	read_names(given, &names, &options->origins);
}

/* Reads one option. */
static void
read_option(const DefElem *given, const OptionDefinition *definition,
			TextOptions *options)
{
	const char *value = get_value(given);
	void *field = (char *) options + definition->offset;

	switch (definition->kind)
	{
		case OPTION_BOOL:
			if (value == NULL)
				*(bool *) field = true;
			else if (!parse_bool(value, (bool *) field))
				invalid_value(given, "It is a boolean: \"on\" or \"off\".");
			break;
		case OPTION_FORMAT:
			break;
		case OPTION_FORMAT_VERSION:
			if (value == NULL || strcmp(value, "2") != 0)
				invalid_value(given, "Only format-version 2 of wal2json is supported.");
			break;
		case OPTION_OPERATIONS:
			options->operations = read_operations(given);
			break;
		case OPTION_ORIGINS:
			read_origins(given, options);
			break;
		case OPTION_EXCLUDE:
		case OPTION_INCLUDE:
		case OPTION_PATTERNS:
			read_names(given, definition, (List **) field);
			break;
		case OPTION_TEXT:
			if (value == NULL || value[0] == '\0')
				invalid_value(given, "A text is expected.");
			*(char **) field = pstrdup(value);
			break;
	}
}

/* Throws if an option is given twice. */
static void
check_once(List *given, const DefElem *option)
{
	ListCell *lc;

	foreach (lc, given)
	{
		DefElem *other = lfirst(lc);

		if (other != option && strcmp(other->defname, option->defname) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("option \"%s\" is given more than once", option->defname),
					 errhint("Give all its values in one list.")));
	}
}

void
derive_external_read_options(List *given, TextOptions *options)
{
	ListCell *lc;

	memset(options, 0, sizeof(TextOptions));
	options->format = find_format(given);
	options->operations = OPERATION_ALL;
	options->include_schemas = true;
	options->include_transaction = true;
	options->include_types = true;
	options->include_typmod = true;
	foreach (lc, given)
	{
		DefElem *option = lfirst(lc);

		check_once(given, option);
		read_option(option, find_definition(options->format, option->defname), options);
	}
	if (options->tombstones)
		options->keys = true;
	if (options->streaming && !options->format->can_stream)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("format \"%s\" has no records of transactions in progress",
						options->format->name),
				 errhint("Leave option \"streaming\" off, or use format \"json\".")));
}
