/*-------------------------------------------------------------------------
 *
 * pattern.c
 *	  Choosing by name: lists of patterns.
 *
 * A list has patterns separated by commas; one that begins with "!" excludes.  A pattern
 * has as many parts as the names have, separated by dots.  In a part, a star stands for
 * any characters; letters are folded to lower case, as in SQL; between double quotes
 * every character stands for itself, a doubled quote for one quote.
 *
 * A name is chosen if a pattern includes it, or no pattern of the list includes anything,
 * and if none excludes it.  What the caller makes of a list without including patterns
 * (its own default) is the caller's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/pattern.h"

/* One part: characters and which of them are wildcards. */
typedef struct PatternPart
{
	char *text;
	bool *wild;
	int len;
} PatternPart;

typedef struct Pattern
{
	bool exclude;
	int nparts;
	PatternPart parts[PATTERN_PARTS];
} Pattern;

/* ---------- reading ---------- */

/* Makes an empty pattern whose parts have room for len characters in all. */
static Pattern *
make_pattern(int len)
{
	Pattern *pattern = palloc0(sizeof(Pattern));

	for (int i = 0; i < PATTERN_PARTS; i++)
	{
		pattern->parts[i].text = palloc(len + 1);
		pattern->parts[i].wild = palloc(len + 1);
	}
	pattern->nparts = 1;
	return pattern;
}

/* Adds a character to the last part of a pattern. */
static void
add_character(Pattern *pattern, char c, bool wild)
{
	PatternPart *part = &pattern->parts[pattern->nparts - 1];

	part->text[part->len] = c;
	part->wild[part->len++] = wild;
}

/* Reads a quoted piece; returns what follows it, or NULL if it does not end. */
static const char *
read_quoted(Pattern *pattern, const char *at)
{
	for (at++; *at != '\0'; at++)
	{
		if (*at == '"' && at[1] != '"')
			return at + 1;
		if (*at == '"')
			at++;
		add_character(pattern, *at, false);
	}
	return NULL;
}

/* Reads an unquoted character; identifiers are folded. */
static void
read_character(Pattern *pattern, char c, bool is_identifier)
{
	if (is_identifier && c >= 'A' && c <= 'Z')
		c += 'a' - 'A';
	add_character(pattern, c, c == '*');
}

/* Says what is wrong with a pattern that has been read, or returns NULL. */
static const char *
check_pattern(const Pattern *pattern, int nparts)
{
	if (pattern->nparts != nparts)
		return nparts == 2	 ? "a table is written as schema.table"
			   : nparts == 3 ? "a column is written as schema.table.column"
							 : "a name has one part";
	for (int i = 0; i < nparts; i++)
		if (pattern->parts[i].len == 0)
			return "a name is empty";
	return NULL;
}

/* Returns the first character that is no white space. */
static const char *
skip_space(const char *at)
{
	while (isspace((unsigned char) *at))
		at++;
	return at;
}

/* Reads one pattern up to a comma or the end; *next is what follows. */
static const char *
read_pattern(const char *at, int nparts, Pattern *pattern, const char **next)
{
	if (*at == '!')
	{
		pattern->exclude = true;
		at = skip_space(at + 1);
	}
	while (*at != '\0' && *at != ',')
	{
		if (*at == '"')
		{
			at = read_quoted(pattern, at);
			if (at == NULL)
				return "a quoted name does not end";
			continue;
		}
		if (*at == '.' && nparts > 1)
		{
			if (pattern->nparts == PATTERN_PARTS)
				return "a name has too many parts";
			pattern->nparts++;
		}
		else if (!isspace((unsigned char) *at))
			read_character(pattern, *at, nparts > 1);
		else if (*skip_space(at) != '\0' && *skip_space(at) != ',')
			return "names are separated by commas";
		at++;
	}
	*next = at;
	return check_pattern(pattern, nparts);
}

const char *
derive_pattern_read(const char *text, int nparts, List **patterns)
{
	const char *at = skip_space(text);

	for (;;)
	{
		Pattern *pattern = make_pattern(strlen(at));
		const char *problem = read_pattern(at, nparts, pattern, &at);

		if (problem)
			return problem;
		*patterns = lappend(*patterns, pattern);
		if (*at == '\0')
			return NULL;
		at = skip_space(at + 1);
	}
}

/* Turns a part that is a star alone into a wildcard. */
static void
mark_star(PatternPart *part)
{
	if (part->len == 1 && part->wild[0])
		return;
	memset(part->wild, 0, part->len);
}

const char *
derive_pattern_read_wal2json(const char *text, int nparts, bool exclude, List **patterns)
{
	const char *at = skip_space(text);

	while (*at != '\0')
	{
		Pattern *pattern = make_pattern(strlen(at));
		const char *problem;

		pattern->exclude = exclude;
		for (; *at != '\0' && *at != ',' && !isspace((unsigned char) *at); at++)
		{
			if (*at == '\\' && at[1] != '\0')
				add_character(pattern, *++at, false);
			else if (*at == '.' && nparts > 1 && pattern->nparts < nparts)
				pattern->nparts++;
			else
				add_character(pattern, *at, *at == '*' && nparts > 1);
		}
		problem = check_pattern(pattern, nparts);
		if (problem)
			return problem;
		for (int i = 0; i < nparts; i++)
			mark_star(&pattern->parts[i]);
		*patterns = lappend(*patterns, pattern);
		at = skip_space(at);
		if (*at != '\0' && *at != ',')
			return "names are separated by commas";
		if (*at == ',')
			at = skip_space(at + 1);
	}
	return NULL;
}

/* ---------- matching ---------- */

/*
 * Returns true if a part matches all of the text.  What a star has passed over grows by one
 * character at a time; only the last star's can, since a later one serves as well as an
 * earlier one.
 */
static bool
part_matches(const PatternPart *part, const char *text)
{
	int i = 0;
	int star = -1;			   /* the last one so far */
	const char *passed = NULL; /* behind what it has passed over */

	while (*text != '\0' || i < part->len)
	{
		if (i < part->len && part->wild[i])
		{
			star = i++;
			passed = text;
		}
		else if (i < part->len && *text != '\0' && *text == part->text[i])
		{
			i++;
			text++;
		}
		else if (star >= 0 && *passed != '\0')
		{
			text = ++passed;
			i = star + 1;
		}
		else
			return false;
	}
	return true;
}

/* Returns true if the first nparts of a pattern match the name. */
static bool
pattern_matches(const Pattern *pattern, const char *const *name, int nparts)
{
	for (int i = 0; i < nparts; i++)
		if (!part_matches(&pattern->parts[i], name[i]))
			return false;
	return true;
}

/* Returns true if some pattern of the given kind matches. */
static bool
any_matches(const List *patterns, bool exclude, const char *const *name, int nparts)
{
	ListCell *lc;

	foreach (lc, patterns)
	{
		const Pattern *pattern = lfirst(lc);

		if (pattern->exclude == exclude && pattern_matches(pattern, name, nparts))
			return true;
	}
	return false;
}

bool
derive_pattern_includes(const List *patterns, const char *const *name, int nparts)
{
	return any_matches(patterns, false, name, nparts);
}

bool
derive_pattern_excludes(const List *patterns, const char *const *name, int nparts)
{
	return any_matches(patterns, true, name, nparts);
}

bool
derive_pattern_is_selective(const List *patterns)
{
	ListCell *lc;

	foreach (lc, patterns)
		if (!((const Pattern *) lfirst(lc))->exclude)
			return true;
	return false;
}
