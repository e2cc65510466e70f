export type DebianPackage = 'rabbitmq-server' | 'mariadb-server' | 'faketime';

export function fileOf(name: DebianPackage): string | undefined;
export function missingPackages(names: DebianPackage[]): DebianPackage[];
export function installPackages(
  names: DebianPackage[],
  options: { say: (text: string) => void; whatToDo: string },
): Promise<void>;
