/*-------------------------------------------------------------------------
 *
 * external_relations.h
 *	  What is known of relations for consumers outside, see external_relations.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_EXTERNAL_RELATIONS_H
#define DERIVE_CAPTURE_EXTERNAL_RELATIONS_H

#include "change/text_stream.h"

typedef struct ExternalRelations ExternalRelations;

/* Makes an empty set, the one of this process, which goes with its context. */
extern ExternalRelations *
derive_external_relations_create(TextStream *stream, MemoryContext context);

/* Called between transactions: keeps relations that are gone from piling up. */
extern void derive_external_relations_trim(ExternalRelations *relations);

/* Returns what is known of a relation, read anew if it has changed. */
extern TextRelation *
derive_external_relations_find(ExternalRelations *relations, Relation rel);

#endif /* DERIVE_CAPTURE_EXTERNAL_RELATIONS_H */
