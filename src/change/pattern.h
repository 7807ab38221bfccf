/*-------------------------------------------------------------------------
 *
 * pattern.h
 *	  Choosing by name: lists of patterns, see pattern.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_PATTERN_H
#define DERIVE_CHANGE_PATTERN_H

#include "nodes/pg_list.h"

/* Most parts of a name: schema, table, column. */
#define PATTERN_PARTS 3

/*
 * Reads a list such as 'public.*, !public.secret' of names with so many parts, in
 * CurrentMemoryContext, and appends it to *patterns.  A name of one part is not an
 * identifier: its letters are not folded and dots are its own.  Returns NULL, or what is
 * wrong with the list.
 */
extern const char *derive_pattern_read(const char *text, int nparts, List **patterns);

/*
 * The same for a list in the manner of wal2json: a backslash takes the meaning from the
 * character behind it, a star is a whole part.  All its patterns exclude or include.
 */
extern const char *
derive_pattern_read_wal2json(const char *text, int nparts, bool exclude, List **patterns);

/* Returns true if some pattern that includes matches the first nparts of the name. */
extern bool
derive_pattern_includes(const List *patterns, const char *const *name, int nparts);

/* Returns true if some pattern that excludes matches the name. */
extern bool
derive_pattern_excludes(const List *patterns, const char *const *name, int nparts);

/* Returns true if there is a pattern that includes, so that what none matches is out. */
extern bool derive_pattern_is_selective(const List *patterns);

#endif /* DERIVE_CHANGE_PATTERN_H */
