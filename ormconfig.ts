import { DataSource } from 'typeorm';
import { migrations } from './migrations/index.js';
import { loadConfig } from './src/config.js';
import { dataSourceOptions } from './src/store/data-source.js';
import { entities } from './src/store/entities.js';

/** The database of the configuration, for TypeORM's command line. */
export default new DataSource(dataSourceOptions({ ...loadConfig().database, entities, migrations }));
