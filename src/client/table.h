/*-------------------------------------------------------------------------
 *
 * table.h
 *	  A table of text cells, drawn for a terminal or as key=value lines.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CLIENT_TABLE_H
#define DERIVE_CLIENT_TABLE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct Table Table;

typedef struct TableColumn
{
	const char *heading; /* on a terminal */
	const char *key;	 /* in a plain line */
	bool right;			 /* aligned right, as numbers are */
} TableColumn;

extern Table *derive_table_create(const TableColumn *columns, int ncolumns);
extern void derive_table_add_row(Table *table, char **cells);
extern void derive_table_add_note(Table *table, const char *label, const char *text);
extern int derive_table_draw(const Table *table, FILE *out, int width, int height,
							 const char *line_end);
extern void derive_table_print_plain(const Table *table, FILE *out, const char *prefix);
extern void derive_table_free(Table *table);

/* Writes text cut to width display columns; returns the columns used. */
extern int derive_table_put(FILE *out, const char *text, int width);

#endif /* DERIVE_CLIENT_TABLE_H */
