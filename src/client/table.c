/*-------------------------------------------------------------------------
 *
 * table.c
 *	  A table of text cells, drawn for a terminal or as key=value lines.
 *
 * A table is built afresh for each redraw and freed after it.  It owns its
 * cells.  Widths are display columns in the locale's encoding as libpq knows
 * it, and control characters are shown as blanks: names and error messages
 * come from the server's users and must not be able to steer the terminal.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "table.h"

struct Table
{
	const TableColumn *columns;
	int ncolumns;
	int nrows;
	int allocated; /* rows that "rows" has room for */
	char ***rows;
	char **notes; /* per row a line of its own under it, or NULL */
};

/* Returns an empty table; columns must outlive it. */
Table *
derive_table_create(const TableColumn *columns, int ncolumns)
{
	Table *table = derive_client_alloc(sizeof(Table));

	table->columns = columns;
	table->ncolumns = ncolumns;
	table->allocated = 16;
	table->rows = derive_client_alloc(table->allocated * sizeof(char **));
	table->notes = derive_client_alloc(table->allocated * sizeof(char *));
	return table;
}

/* Doubles the room for rows. */
static void
enlarge(Table *table)
{
	int room = table->allocated * 2;
	char ***rows = derive_client_alloc(room * sizeof(char **));
	char **notes = derive_client_alloc(room * sizeof(char *));

	memcpy(rows, table->rows, table->nrows * sizeof(char **));
	memcpy(notes, table->notes, table->nrows * sizeof(char *));
	free(table->rows);
	free(table->notes);
	table->rows = rows;
	table->notes = notes;
	table->allocated = room;
}

/* Adds a row; takes over the cells (allocated strings), not the array. */
void
derive_table_add_row(Table *table, char **cells)
{
	char **row = derive_client_alloc(table->ncolumns * sizeof(char *));

	memcpy(row, cells, table->ncolumns * sizeof(char *));
	if (table->nrows == table->allocated)
		enlarge(table);
	table->rows[table->nrows] = row;
	table->notes[table->nrows] = NULL;
	table->nrows++;
}

/* Adds "label=text" to the last row, as a line of its own on a terminal. */
void
derive_table_add_note(Table *table, const char *label, const char *text)
{
	table->notes[table->nrows - 1] = derive_client_format("%s: %s", label, text);
}

/* Returns the encoding of what libpq hands out to this process. */
static int
encoding(void)
{
	static int known = -1;

	if (known < 0)
		known = PQenv2encoding();
	return known;
}

/*
 * Returns the length in bytes of the character at text, and its width; a
 * broken character at the end of the text is one byte.
 */
static int
next_character(const char *text, int *width)
{
	int len = PQmblen(text, encoding());

	*width = PQdsplen(text, encoding());
	if (len < 1 || (int) strnlen(text, len) < len)
		len = 1;
	if (*width < 0)
		*width = 1;
	return len;
}

/* Returns the width of text in display columns. */
static int
text_width(const char *text)
{
	int total = 0;
	int width;

	for (const char *p = text; *p; total += width)
		p += next_character(p, &width);
	return total;
}

int
derive_table_put(FILE *out, const char *text, int width)
{
	int used = 0;
	int step;

	for (const char *p = text; *p;)
	{
		int len = next_character(p, &step);

		if (used + step > width)
			break;
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			fputc(' ', out);
		else
			fwrite(p, 1, len, out);
		used += step;
		p += len;
	}
	return used;
}

/* Writes n blanks. */
static void
put_blanks(FILE *out, int n)
{
	if (n > 0)
		fprintf(out, "%*s", n, "");
}

/* Writes one line of cells, cut to width. */
static void
draw_line(const Table *table, FILE *out, char *const *cells, const int *widths, int width)
{
	int left = width;

	for (int col = 0; col < table->ncolumns && left > 0; col++)
	{
		int pad = widths[col] - text_width(cells[col]);
		bool last = col == table->ncolumns - 1;

		if (pad > left)
			pad = left;
		if (table->columns[col].right)
			put_blanks(out, pad);
		left -= pad;
		left -= derive_table_put(out, cells[col], left);
		if (!table->columns[col].right && !last)
			put_blanks(out, pad);
		if (!last && left >= 2)
			put_blanks(out, 2);
		left -= 2;
	}
}

/* Fills in how wide each column must be for its heading and its cells. */
static void
measure(const Table *table, int *widths)
{
	for (int col = 0; col < table->ncolumns; col++)
	{
		widths[col] = text_width(table->columns[col].heading);
		for (int row = 0; row < table->nrows; row++)
		{
			int width = text_width(table->rows[row][col]);

			if (width > widths[col])
				widths[col] = width;
		}
	}
}

/*
 * Draws heading and rows, each line cut to width and ended by line_end, in at
 * most height lines; returns the number of lines.  Rows that find no room are
 * counted in the last line.
 */
int
derive_table_draw(const Table *table, FILE *out, int width, int height,
				  const char *line_end)
{
	int *widths = derive_client_alloc(table->ncolumns * sizeof(int));
	char **headings = derive_client_alloc(table->ncolumns * sizeof(char *));
	int lines = 1;

	for (int col = 0; col < table->ncolumns; col++)
		headings[col] = (char *) table->columns[col].heading;
	measure(table, widths);
	draw_line(table, out, headings, widths, width);
	fputs(line_end, out);
	for (int row = 0; row < table->nrows; row++)
	{
		if (lines + (table->notes[row] ? 2 : 1) + (row < table->nrows - 1) > height)
		{
			fprintf(out, "... and %d more%s", table->nrows - row, line_end);
			lines++;
			break;
		}
		draw_line(table, out, table->rows[row], widths, width);
		fputs(line_end, out);
		lines++;
		if (table->notes[row])
		{
			put_blanks(out, 2);
			derive_table_put(out, table->notes[row], width - 2);
			fputs(line_end, out);
			lines++;
		}
	}
	free(widths);
	free(headings);
	return lines;
}

/* Writes a value of a plain line, quoted if it is not one word. */
static void
put_value(FILE *out, const char *value)
{
	bool quoted = *value == '\0' || strpbrk(value, " \t\n\"=") != NULL;

	if (quoted)
		fputc('"', out);
	for (const char *p = value; *p; p++)
	{
		if (*p == '"' || *p == '\\')
			fputc('\\', out);
		fputc((unsigned char) *p < 0x20 ? ' ' : *p, out);
	}
	if (quoted)
		fputc('"', out);
}

/* Prints each row as "prefix key=value ...", for files and pipes. */
void
derive_table_print_plain(const Table *table, FILE *out, const char *prefix)
{
	for (int row = 0; row < table->nrows; row++)
	{
		fputs(prefix, out);
		for (int col = 0; col < table->ncolumns; col++)
		{
			fprintf(out, " %s=", table->columns[col].key);
			put_value(out, table->rows[row][col]);
		}
		if (table->notes[row])
			fprintf(out, " ");
		if (table->notes[row])
			derive_table_put(out, table->notes[row], 1000000);
		fputc('\n', out);
	}
}

/* Frees the table and its cells. */
void
derive_table_free(Table *table)
{
	for (int row = 0; row < table->nrows; row++)
	{
		for (int col = 0; col < table->ncolumns; col++)
			free(table->rows[row][col]);
		free(table->rows[row]);
		free(table->notes[row]);
	}
	free(table->rows);
	free(table->notes);
	free(table);
}
