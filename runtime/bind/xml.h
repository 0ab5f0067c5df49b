/* tide.engine.xml: documents of XML as tables; scripts/tide/xml.lua wraps it. */
#ifndef TIDEGATE_BIND_XML_H
#define TIDEGATE_BIND_XML_H

struct lua_State;

int luaopen_tide_engine_xml(struct lua_State *L);

#endif
